"""The benchmark: how much of the gap between adults' and children's labels each model closes."""
