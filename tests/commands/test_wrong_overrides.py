"""Three hundred wrong overrides, made from what docs/configuration.md says of every key: each is refused by its name.

A value is wrong where the page says another kind, a limit is passed, or null is given where the page does not say so;
keys and options are wrong where they are misspelt. Nothing is written, and nobody sees a traceback.
"""

import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pedseg.commands import prepare, train
from pedseg.settings.conf import default_options, groups
from pedseg.settings.keys import Key, root
from pedseg.settings.page import words
from pedseg.settings.run import PrepareSettings, RunSettings
from pedseg.settings.signature import signature_model
from pedseg.settings.targets import imported
from tests.composed import settings

SEED = 20261127
METHODS = "adaptation=[strong,fourier,dann,mean_teacher,entropy,prior]"
WRITTEN_BY_THE_RUN = ("machine", "population")  # and what is read from a file of its own
NAMES = {"cohorts": "ped", "source": "ped", "variant": "plain", "paths": "ped"}  # for <name>, by what it is of
LIMIT = re.compile(r"([≥>≤<]) ([\d.]+)")

Override = tuple[str, str]  # key, and the override
Case = tuple[Callable[[Sequence[str]], int], str, str]


def wrong_values(kind: str) -> Iterator[str]:
    """Values that are not what the page says."""
    yield from ("[[1],{a: 2}]", "{a: {b: 1}}")
    if not kind.endswith("or null"):
        yield "null"
    if kind.startswith("true or false"):
        yield from ("nonsense", "2", "1.5", "nan", "[true]", "''")
    elif kind.startswith(("a whole number", "a number")):
        yield from ("nonsense", "nan", "inf", "[1]", "''", "1e")
        yield from [] if "true" in kind else ["true", "no"]
        yield from ["1.5"] if kind.startswith("a whole") else []
        for sign, limit in LIMIT.findall(kind):
            below, above = f"{float(limit) - 1:g}", f"{float(limit) + 1:g}"
            yield from {"≥": [below], ">": [below, limit], "≤": [above], "<": [above, limit]}[sign]
    elif kind.startswith(("a path", "text")):
        yield from ("true", "1.5", "[a]", "''")
    elif kind.startswith(("a list", "3 values")):
        yield from ("nonsense", "7", "true", "[null]", "[[]]")
        yield from ["[1,2]", "[1,2,3,4]", "[0,1,1]", "[-1,1,1]"] if kind.startswith("3 values") else []
    elif kind:  # one of some words, or several kinds
        yield from ("nonsense", "-7", "1.5", "[nonsense]", "''")
        yield from [] if "true" in kind else ["true"]


def keys_of(model: type[RunSettings] | type[PrepareSettings]) -> list[tuple[str, str]]:
    """Names of keys, with names in place of ``<name>``, and what the page says of their values."""
    found = [(key.name, key) for key in root(model).leaves() if not key.name.startswith(WRITTEN_BY_THE_RUN)]
    named = [(_named(name), words(key.annotation)) for name, key in found]
    return [(name, kind) for name, kind in named if kind and "<" not in name]


def _named(name: str) -> str:
    for group, one in NAMES.items():
        name = name.replace(f"{group}.<name>", f"{group}.{one}")
    return name


def arguments_of_classes() -> list[tuple[str, str]]:
    """Keys that belong to classes: those of methods, of the network and of the schedule."""
    run = settings("scale=toy", "experiment=uda", METHODS)
    owners = {f"adaptation.{name}": own["_target_"] for name, own in run.adaptation.root.items()}
    owners["lr_schedule"] = run.lr_schedule.target
    keys: list[tuple[str, str]] = []
    for above, target in owners.items():
        model = signature_model(imported(target, key=above, wanted="a class"), frozenset({"progress"}))
        keys += [(f"{above}.{key.name}", words(key.annotation)) for key in root(model).leaves()]
    return [(name, kind) for name, kind in keys if kind and "<" not in name]


def values(keys: Sequence[tuple[str, str]]) -> list[Override]:
    return [(name, f"{name}={value}") for name, kind in keys for value in wrong_values(kind)]


def misspelt(keys: Sequence[tuple[str, str]]) -> Iterator[Override]:
    """Keys with a letter less, one doubled, two in the wrong order, or one level too deep."""
    known = {name for name, _ in keys}
    for name in sorted(known):
        above, _, last = name.rpartition(".")
        prefix = f"{above}." if above else ""
        for wrong in (last[:-1], f"{last[0]}{last}", f"{last[1::-1]}{last[2:]}", f"{last}.zzz"):
            if wrong and f"{prefix}{wrong}" not in known and not _free(f"{prefix}{wrong}"):
                for sign in ("", "+", "++"):
                    yield f"{prefix}{wrong}", f"{sign}{prefix}{wrong}=1"


def _free(name: str) -> bool:
    """Keys that may have any name, or are a group."""
    key: Key | None = root(RunSettings)
    for part in name.split("."):
        key = key.child(part) if key else None
    return key is not None


def choices(config_name: str) -> list[Override]:
    chosen = default_options(config_name)
    return [(group, f"{group}={option}x") for group in chosen for option in groups()[group]]


def cases() -> list[Case]:
    rng = random.Random(SEED)
    trained, prepared, owned = keys_of(RunSettings), keys_of(PrepareSettings), arguments_of_classes()
    made = [
        *((train.main, one) for one in rng.sample(values(trained), 130)),
        *((train.main, one) for one in rng.sample(values(owned), 40)),
        *((train.main, one) for one in rng.sample(list(misspelt(trained)), 40)),
        *((train.main, one) for one in rng.sample(choices("train"), 20)),
        *((prepare.main, one) for one in rng.sample(values(prepared), 45)),
        *((prepare.main, one) for one in rng.sample(list(misspelt(prepared)), 15)),
        *((prepare.main, one) for one in rng.sample(choices("prepare"), 10)),
    ]
    return [(main, key, override) for main, (key, override) in made]


def test_wrong_overrides_are_refused_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = cases()
    assert len(chosen) == 300
    accepted: list[str] = []
    for main, key, override in chosen:
        folders = [f"paths.{name}={tmp_path / name}" for name in ("adult", "ped", "store", "runs")]
        more = ["experiment=uda", METHODS] if main is train.main else []
        code = main(["scale=toy", *folders, *more, override])
        said = capsys.readouterr().err
        refused = code == 2 and said.startswith("pedseg: ") and "Traceback" not in said and key in said
        accepted += [] if refused else [f"{override}: {code} {said}"]
    assert not accepted, "\n".join(accepted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["train", "experiment=udda"],
        ["train", "seed", "fold=[1"],
        ["train", "trainer.max_epochs=0", "optimizer.lr=-1", "+x=1"],
        ["prepare", "workers=none", "data.spacing_mm=1"],
        ["prepare", "trainer.max_epochs=3", "scale=toy"],
    ],
)
def test_as_commands_of_their_own(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pedseg", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert lines[0].startswith("pedseg: ")
    assert "Traceback" not in done.stderr
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)  # what is wrong with settings is told without it
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("override", "said"), [("experiment=1e999", "experiment=inf"), ("logger=true", "logger=True")])
def test_an_option_is_a_name(override: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Hydra raises a ValueError for what is neither text nor a list."""
    assert train.main([override]) == 2
    assert f"pedseg: {said} is unknown; there are" in capsys.readouterr().err
