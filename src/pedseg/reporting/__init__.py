"""The paper's tables, statistics, rankings and figures, out of runs and tables of scores."""
