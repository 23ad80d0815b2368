"""Tables of pages that are made from conf/: an experiment, a method, a model is described by its file's first comment.

Run ``python -m tests.config_tables`` (`make tables`). It rewrites what stands between the markers of a table in
README.md and the pages of docs/; a test fails where that is stale.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pedseg.adaptation import methods_of
from pedseg.networks import KINDS
from pedseg.reporting.paper import EXPERIMENTS as OF_THE_PAPER
from pedseg.settings.conf import conf_dir, first_comment
from tests.composed import experiments, files, plain
from tests.methods import EVERY, settings_of

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- table of (\w+), by make tables -->\n).*?(<!-- end of the table -->)", re.DOTALL)


def chosen(experiment: str, group: str) -> list[str]:
    """Options of a group that an experiment chooses, by itself or as the one that it extends does."""
    content: Any = OmegaConf.to_container(
        OmegaConf.load(conf_dir() / "experiment" / f"{experiment}.yaml"), resolve=False
    )
    defaults = content.get("defaults", [])
    for entry in (entry for entry in defaults if isinstance(entry, Mapping)):
        if option := entry.get(f"override /{group}"):
            return list(option) if isinstance(option, list) else [str(option)]
    bases = [entry for entry in defaults if isinstance(entry, str) and entry in experiments()]
    return chosen(bases[0], group) if bases else []


def cohorts(config: Mapping[str, Any]) -> tuple[str, str]:
    """Cohorts of an experiment with labels and without."""
    parts = {cohort: part for cohort, part in config["data"]["source"].items() if part}
    labelled = [cohort if part == "fold" else f"{cohort} ({part})" for cohort, part in parts.items()]
    return ", ".join(labelled), ", ".join(config["data"]["target"])


def experiment_table() -> list[str]:
    """A row for each experiment, the paper's first."""
    rows = [
        "| `experiment=` | Table 2 | what it is | labels of | images of | `adaptation=` |",
        "|---|---|---|---|---|---|",
    ]
    paper = list(OF_THE_PAPER)
    for name in sorted(experiments(), key=lambda name: (paper.index(name) if name in paper else len(paper), name)):
        labelled, unlabelled = cohorts(experiments()[name])
        model = OF_THE_PAPER.get(name, "").replace("*", r"\*")
        text = first_comment("experiment", name).replace("*", r"\*")
        methods = ", ".join(f"`{method}`" for method in chosen(name, "adaptation"))
        rows.append(f"| `{name}` | {model} | {text} | {labelled} | {unlabelled} | {methods} |")
    return rows


def method_table() -> list[str]:
    """A row for each method and variant, in the order in which they are applied."""
    rows = ["| `adaptation=` | what it does | acts on | takes of the target | experiments |", "|---|---|---|---|---|"]
    users = {name: chosen(name, "adaptation") for name in experiments()}
    for name in EVERY:
        (kind,) = methods_of(settings_of(name)).values()
        used = ", ".join(f"`{user}`" for user, methods in users.items() if name in methods)
        rows.append(f"| `{name}` | {first_comment('adaptation', name)} | {kind.stage} | {kind.takes} | {used} |")
    return rows


def model_table() -> list[str]:
    """A row for each file of a network."""
    rows = ["| `model=` | what it is | published |", "|---|---|---|"]
    for name in files("model"):
        kind = KINDS[plain(f"model={name}")["model"]["name"]]
        rows.append(f"| `{name}` | {first_comment('model', name)} | {kind.reference} |")
    return rows


def variant_table() -> list[str]:
    """A row for each way to predict a trained network."""
    names = files("variant")
    return [
        "| `variant=` | what it is |",
        "|---|---|",
        *(f"| `{name}` | {first_comment('variant', name)} |" for name in names),
    ]


TABLES: Mapping[str, Callable[[], list[str]]] = {
    "experiments": experiment_table,
    "methods": method_table,
    "models": model_table,
    "variants": variant_table,
}


def rewritten(text: str) -> str:
    """A page with its tables as they are today."""
    return MARKED.sub(lambda found: found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3], text)


def pages() -> list[Path]:
    """What may hold tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> int:
    """Rewrite the pages that are stale, and say which."""
    for page in pages():
        before = page.read_text(encoding="utf-8")
        if (after := rewritten(before)) != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
