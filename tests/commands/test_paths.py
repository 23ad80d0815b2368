"""Paths on the command line that Hydra's grammar has no place for, such as those of runs named after their settings."""

import pytest

from pedseg.commands.hydra_run import compose
from pedseg.commands.overrides import as_hydra_takes
from pedseg.settings.run import RunSettings


@pytest.mark.parametrize(
    "path",
    [
        "runs/uda/adaptation.dann.weight=0.5,seed=1/fold_0",
        "a (b)/[c]/{d}/fold_0",
        "runs/uda/fold_0",
        "my runs/fold_0",
        "$HOME=x/é",
    ],
)
def test_paths_are_taken_as_they_are(path: str) -> None:
    given = ["experiment=m2_ped", "init=from_run", f"init.run={path}", f"paths.ped={path}", f"data.store={path}"]
    settings = compose(RunSettings, [*given, "fold=0"], config_name="train")
    assert str(settings.init.run) == path
    assert str(settings.data.cohorts["ped"].folder) == path
    assert str(settings.data.store) == path


def test_quotes_and_references_stay_what_they_are() -> None:
    given = ["init.run='a=b'", "init.run=${paths.runs}/x", "run_name=a=b", "init.run='a", "paths.ped="]
    assert as_hydra_takes(given) == [*given[:4], "++paths.ped="]
