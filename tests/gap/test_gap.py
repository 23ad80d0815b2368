"""The benchmark's table: shares of a gap known by hand, intervals, roles, choices, files."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pedseg.commands import benchmark as entry
from pedseg.errors import PedsegError
from pedseg.files import write_json
from pedseg.gap.benchmark import experiment_of, load_benchmark
from pedseg.gap.bootstrap import Draw, Estimate, estimate_closed, estimate_mean, mean
from pedseg.gap.choice import choose
from pedseg.gap.page import GOAL, Report, gap_document, goal_text, main_table, to_csv, to_json
from pedseg.gap.roles import Role
from pedseg.gap.rows import Row, best_row, gap_notes, make_rows
from pedseg.gap.seeds import seed_costs
from pedseg.pages.render import html
from pedseg.reporting.strata import WITH, WITHOUT
from pedseg.reporting.training_log import last_source_dice, training_minutes
from pedseg.runs import RunFolder
from tests.composed import plain
from tests.reporting.worlds import curves

ADULTS: Mapping[str, Any] = {"source": {"adult": "fold", "ped": None}, "target": []}
BOTH: Mapping[str, Any] = {"source": {"adult": "fold", "ped": "fold"}, "target": []}
ADAPTS: Mapping[str, Any] = {"source": {"adult": "fold", "ped": None}, "target": ["ped"]}
STRONG, STYLE, TEACHER = (
    {"_target_": f"pedseg.adaptation.{kind}"} for kind in ("StrongAugmentation", "FourierStyle", "MeanTeacher")
)
ADVERSARY = {"_target_": "pedseg.adaptation.DomainAdversary", "alpha_max": 3.0, "lambda_domain": 0.01}
DANN = {"dann": ADVERSARY}
TESTED = {"folder": None, "labelled": True, "convention": "brats2023"}
SPREAD = np.array([0.3, -0.3, 0.1, -0.1, 0.2, -0.2, 0.0, 0.0])  # of the cases around their mean; sums to 0
LOW, UP = 0.3 + SPREAD, 0.7 + 0.5 * SPREAD
HALF = (LOW + UP) / 2
ON_CHILDREN = {"source": [["adult", "a"]], "target": [["ped", "p"]]}


def write_run(
    runs: Path,
    name: str,
    tc: Sequence[float] | np.ndarray[Any, Any],
    *,
    seed: int = 0,
    data: Mapping[str, Any] = ADULTS,
    adaptation: Mapping[str, Any] | None = None,
    wt: float = 0.9,
    validators: Mapping[str, float] | None = None,
    variant: str = "plain",
    how: Mapping[str, Any] | None = None,
    core: Sequence[float] | None = None,
    **settings: Any,
) -> RunFolder:
    """A run, predicted as a variant, with these Dice of TC; WT is the same in all cases and ET is half of TC.

    `core` is TC / WT of each case, where the scores are to tell the volumes of the labels.
    """
    run = RunFolder(runs / f"seed_{seed}" / name / "fold_0")
    rows = [
        {"case": f"child {i}", "region": region, "dice": dice, "hd95_mm": 10 * (1 - dice), "definition": "brats2023"}
        for i, value in enumerate(tc)
        for region, dice in (("et", value / 2), ("tc", value), ("wt", wt))
    ]
    place = run.variant(variant)
    write_json(place.settings, how or {})
    table = pd.DataFrame(rows)
    if core is not None:
        table["label_volume_mm3"] = [volume for part in core for volume in (10.0, 1000 * part, 1000.0)]
    table.to_csv(place.scores, index=False)
    here = {**data, "synthetic": True, "store": "nowhere", "cohorts": {"ped_test": TESTED}, "evaluation": "ped_test"}
    write_json(run.config, plain(run_name=name, seed=seed, adaptation=adaptation or {}, data=here, **settings))
    if validators is not None:
        record = {
            "scores": validators,
            "settings": ON_CHILDREN,
            "target_labels": bool(data["source"]["ped"]),
            "synthetic": True,
        }
        write_json(place.validators, record)
    return run


def write_bounds(runs: Path, *, seeds: Sequence[int] = (0,)) -> None:
    for seed in seeds:
        write_run(runs, "m1_adult_fold", LOW, seed=seed)
        write_run(runs, "m2_ped_nods", UP, seed=seed, data={"source": {"adult": None, "ped": "fold"}, "target": []})
        write_run(runs, "m3_mixed_nods", UP, seed=seed, data=BOTH)


def rows_of(runs: Path, **settings: Any) -> dict[str, Row]:
    return {row.entry.name: row for row in make_rows(load_benchmark(runs), **settings)}


def report_of(runs: Path, *, validator: str = "infomax") -> Report:
    found = load_benchmark(runs)
    rows = make_rows(found, resamples=200)
    costs, notes = seed_costs(found)
    notes = [*found.notes, *notes]
    return Report(found, rows, choose(found, rows), costs, validator, 200, "a machine", "2026-01-01", notes)


def test_half_of_the_gap(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN, wt=0.88)
    rows = rows_of(tmp_path)
    assert rows["uda"].gap["tc"].value == pytest.approx(0.5)
    # Mean of ET, TC and WT: (0.25 + 0.5 + 0.88) / 3 between (0.15 + 0.3 + 0.9) / 3 and (0.35 + 0.7 + 0.9) / 3.
    assert rows["uda"].gap["mean"].value == pytest.approx((1.63 - 1.35) / (1.95 - 1.35))
    assert rows["uda"].wt_lost.value == pytest.approx(0.02)
    assert (rows["uda"].wt_lost.low, rows["uda"].wt_lost.high) == pytest.approx((0.02, 0.02))
    assert rows["uda"].dice["tc"].value == pytest.approx(0.5)
    assert rows["uda"].dice["mean"].value == pytest.approx(1.63 / 3)
    assert rows["uda"].hd95_mm["tc"].value == pytest.approx(5.0)
    assert rows["m1_adult_fold"].gap["tc"].value == pytest.approx(0.0)
    assert rows["m3_mixed_nods"].gap["tc"].value == pytest.approx(1.0)


def test_intervals_are_paired(tmp_path: Path) -> None:
    """A model that is half-way in each case is half-way in each resample, however much the cases differ."""
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    write_run(tmp_path, "uda_style", HALF[::-1], data=ADAPTS, adaptation={"fourier": STYLE})
    rows = rows_of(tmp_path)
    assert (rows["uda"].gap["tc"].low, rows["uda"].gap["tc"].high) == pytest.approx((0.5, 0.5))
    assert rows["uda"].dice["tc"].high - rows["uda"].dice["tc"].low > 0.1
    # The same values of other cases: the same mean, and an interval around it.
    other = rows["uda_style"].gap["tc"]
    assert other.value == pytest.approx(0.5)
    assert other.low < 0.4
    assert other.high > 0.6


def test_resamples_by_repeating() -> None:
    """Counts against arrays in which seeds and cases are repeated."""
    rng = np.random.default_rng(3)
    values = rng.random((3, 2, 5))
    values[0, 1, 2] = np.nan
    draw = Draw.make(2, 5, resamples=50, seed=1)
    assert (draw.seeds.sum(axis=1) == 2).all()
    assert (draw.cases.sum(axis=1) == 5).all()
    for i, found in enumerate(draw.means(values)):
        repeated = np.repeat(np.repeat(values, draw.seeds[i].astype(int), 1), draw.cases[i].astype(int), 2)
        assert found == pytest.approx(np.nanmean(repeated.reshape(3, -1), axis=1).mean())
    assert mean(values) == pytest.approx(np.nanmean(values.reshape(3, -1), axis=1).mean())


def test_width_of_an_interval() -> None:
    """Of many cases: ± 1.96 standard errors. Copies of a seed add nothing, seeds that differ do."""
    cases = np.random.default_rng(0).normal(0.5, 0.1, 400)
    one = estimate_mean(cases[None], Draw.make(1, 400, resamples=4000, seed=0))
    assert one.value == pytest.approx(cases.mean())
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * cases.std() / 20, rel=0.06)
    draw = Draw.make(3, 400, resamples=4000, seed=0)
    copies = estimate_mean(np.stack([cases] * 3), draw)
    assert copies.high - copies.low == pytest.approx(one.high - one.low, rel=0.06)
    apart = estimate_mean(np.stack([cases - 0.1, cases, cases + 0.1]), draw)
    assert apart.high - apart.low > 2 * (one.high - one.low)
    assert draw.seeds.tolist() == Draw.make(3, 400, resamples=4000, seed=0).seeds.tolist()


def test_no_gap(tmp_path: Path) -> None:
    write_run(tmp_path, "m1_adult_fold", UP)
    write_run(tmp_path, "m3_mixed_nods", UP - 0.1, data=BOTH)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    found = load_benchmark(tmp_path)
    row = {row.entry.name: row for row in make_rows(found)}["uda"]
    assert np.isnan([row.gap["tc"].value, row.gap["tc"].low]).all()
    assert not row.reaches_goal
    assert best_row([row]) is None
    assert "There is no gap to close in TC: 3* − 1* is -0.100 Dice." in gap_notes(found)
    assert "–" in main_table([row]).markdown()


def test_a_gap_that_is_not_sure_has_no_interval() -> None:
    lower, upper = np.array([[0.5, 0.5, 0.5]]), np.array([[0.9, 0.4, 0.4]])
    estimate = estimate_closed(lower + 0.05, lower, upper, Draw.make(1, 3, resamples=500, seed=0))
    assert estimate.value == pytest.approx(0.05 / (0.2 / 3))
    assert np.isnan([estimate.low, estimate.high]).all()


def test_a_gap_that_is_not_sure_is_said(tmp_path: Path) -> None:
    write_run(tmp_path, "m1_adult_fold", [0.5, 0.5, 0.5])
    write_run(tmp_path, "m3_mixed_nods", [0.9, 0.4, 0.4], data=BOTH)
    assert any("is not positive in" in note for note in gap_notes(load_benchmark(tmp_path)))


def test_roles(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    write_run(tmp_path, "uda_alpha0", LOW, data=ADAPTS, adaptation={"dann": {**ADVERSARY, "alpha_max": 0.0}})
    before = {"methods": {"dann": True, "strong": True, "prior": False}, "alpha_max": 0.0, "lambda_domain": 0.01}
    write_run(tmp_path, "uda_alpha0_before", LOW, data=ADAPTS, adaptation={**before, "strong": {}})
    write_run(tmp_path, "m1_adult_strong", LOW, adaptation={"strong": STRONG})
    write_run(tmp_path, "m1_adult_nods", LOW)
    write_run(tmp_path, "m1_adult_fold", LOW, variant="tent", how={"adapt_steps": 10})
    calibrated = {"shares": {"tc": 0.9}, "target": ["ped"]}
    write_run(tmp_path, "m1_adult_fold", LOW, variant="calibrated", how=calibrated)
    write_run(tmp_path, "uda_mean_teacher", HALF, data=ADAPTS, adaptation={"strong": STRONG, "mean_teacher": TEACHER})
    write_run(tmp_path, "uda_released_2024", UP, data=BOTH, adaptation=DANN)
    origin = {"run": str(tmp_path / "seed_0" / "m2_ped_nods" / "fold_0")}
    write_run(tmp_path, "zz_from_labels", UP, data=ADAPTS, adaptation=DANN, init=origin)
    entries = load_benchmark(tmp_path).entries
    assert [(e.title, e.role) for e in entries] == [
        ("1* m1_adult_fold", Role.BOUND),
        ("2* m2_ped_nods", Role.BOUND),
        ("3* m3_mixed_nods", Role.BOUND),
        ("uda_released_2024", Role.SUPERVISED),
        ("zz_from_labels", Role.SUPERVISED),
        ("m1_adult_nods", Role.CONTROL),
        ("m1_adult_strong", Role.CONTROL),
        ("uda_alpha0", Role.CONTROL),
        ("uda_alpha0_before", Role.CONTROL),
        ("m1_adult_fold · calibrated", Role.METHOD),
        ("m1_adult_fold · tent", Role.METHOD),
        ("uda", Role.METHOD),
        ("uda_mean_teacher", Role.METHOD),
    ]
    text = main_table(make_rows(load_benchmark(tmp_path), resamples=50)).markdown()
    assert r"| uda\_released\_2024 | supervised |" in text
    bold = [line for line in text.splitlines() if "**" in line]
    assert [line.split(" | ")[0] for line in bold] == ["| uda"]  # as good as any, and no label of a child


def test_names_lose_the_seed() -> None:
    assert experiment_of("UDA") == "uda"
    assert experiment_of("uda/seed=2") == "uda"
    assert experiment_of("uda/adaptation.dann.alpha_max=1,seed=2") == "uda/adaptation.dann.alpha_max=1"
    assert experiment_of("1*") == "m1_adult_nods"


def test_of_all_adults_where_there_is_no_fold(tmp_path: Path) -> None:
    write_run(tmp_path, "m1_adult_nods", LOW, fold="all")
    write_run(tmp_path, "m3_mixed_nods", UP, data=BOTH)
    found = load_benchmark(tmp_path)
    assert found.lower.name == "m1_adult_nods"
    assert any("none is held out" in note for note in found.notes)
    assert any("2* has not been scored" in note and "experiment=m2_ped_nods" in note for note in found.notes)


def test_seeds_that_are_missing(tmp_path: Path) -> None:
    """The gap of a model with one seed is that of this seed, though the bounds have another with a smaller one."""
    write_bounds(tmp_path)
    write_run(tmp_path, "m1_adult_fold", LOW + 0.2, seed=1)
    write_run(tmp_path, "m3_mixed_nods", UP, seed=1, data=BOTH)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN)
    (tmp_path / "seed_2").mkdir()
    found = load_benchmark(tmp_path)
    rows = {row.entry.name: row for row in make_rows(found)}
    assert rows["uda"].gap["tc"].value == pytest.approx(0.5)
    assert rows["m1_adult_fold"].dice["tc"].value == pytest.approx(0.4)
    assert found.seeds == (0, 1)
    assert "uda has not been scored with seed 1." in found.notes
    assert "No run of seed 2 has been scored yet." in found.notes


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        ("m1_adult_fold", r"1\* is missing.*pedseg train experiment=m1_adult_fold seed=0"),
        ("m3_mixed_nods", r"3\* is missing.*experiment=m3_mixed_nods seed=0 paths.runs=.*seed_0"),
    ],
)
def test_a_missing_bound_is_named(tmp_path: Path, absent: str, message: str) -> None:
    write_bounds(tmp_path)
    RunFolder(tmp_path / "seed_0" / absent / "fold_0").variant("plain").scores.unlink()
    with pytest.raises(PedsegError, match=message):
        load_benchmark(tmp_path)


def test_runs_that_do_not_compare(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    run = write_run(tmp_path, "uda", HALF[:-1], data=ADAPTS, adaptation=DANN)
    with pytest.raises(PedsegError, match="uda of seed 0 is scored on 7 cases"):
        load_benchmark(tmp_path)
    run.config.unlink()
    with pytest.raises(PedsegError, match=r"no config\.json.*labels of the target"):
        load_benchmark(tmp_path)
    run.variant("plain").scores.unlink()
    write_run(tmp_path, "m1_adult_fold", LOW, seed=1)
    config = RunFolder(tmp_path / "seed_1" / "m1_adult_fold" / "fold_0").config
    config.write_text(config.read_text().replace('"seed": 1', '"seed": 0'))
    with pytest.raises(PedsegError, match="trained with the same seed, 0"):
        load_benchmark(tmp_path)
    with pytest.raises(PedsegError, match="run the benchmark first"):
        load_benchmark(tmp_path / "seed_0")


def test_cost_and_source_dice_by_hand(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert np.isnan([training_minutes(run), last_source_dice(run)]).all()
    run.metrics.write_text(
        "epoch,step,time/data,time/step,val/source/dice_mean\n0,39,,,0.5\n0,39,0.5,1.0,\n1,59,,,0.75\n1,59,1.0,2.0,\n"
    )
    assert training_minutes(run) == pytest.approx((40 * 1.5 + 20 * 3.0) / 60)
    assert last_source_dice(run) == 0.75
    run.metrics.write_text("epoch,step\n0,1\n")
    assert np.isnan([training_minutes(run), last_source_dice(run)]).all()
    run.metrics.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PedsegError, match="restore or remove"):
        training_minutes(run)


def write_choices(runs: Path) -> None:
    """Two seeds: InfoMax chooses the teacher by its mean over them, entropy the model of adults."""
    write_bounds(runs, seeds=(0, 1))
    for seed in (0, 1):
        for path in (runs / f"seed_{seed}").iterdir():
            config = json.loads((path / "fold_0" / "config.json").read_text())
            labels = bool(config["data"]["source"]["ped"])
            scores = {"infomax": 9.0 if labels else 0.1, "entropy": 9.0}
            record = {"scores": scores, "settings": ON_CHILDREN, "target_labels": labels, "synthetic": True}
            write_json(path / "fold_0" / "predictions" / "plain" / "validators.json", record)
        sure = {"infomax": (0.9, 0.1)[seed], "entropy": 0.0}
        write_run(runs, "uda", HALF, seed=seed, data=ADAPTS, adaptation=DANN, validators=sure)
        teacher = {"mean_teacher": TEACHER}
        near = LOW + 0.95 * (UP - LOW)
        sure = {"infomax": 0.6, "entropy": 0.0}
        write_run(runs, "uda_mean_teacher", near, seed=seed, data=ADAPTS, adaptation=teacher, validators=sure)


def test_choice_without_labels(tmp_path: Path) -> None:
    write_choices(tmp_path)
    report = report_of(tmp_path)
    chosen = {choice.validator: [row.entry.name for row in choice.rows] for choice in report.choices}
    assert chosen == {"entropy": ["m1_adult_fold"], "infomax": ["uda_mean_teacher"]}
    assert {choice.candidates for choice in report.choices} == {3}  # 2* and 3* have seen labels
    text = goal_text(report)
    assert "met by uda_mean_teacher (95 (95 … 95) % of the gap, +0.000 WT lost), chosen by InfoMax" in text
    assert "not met by 1* m1_adult_fold" in goal_text(report_of(tmp_path, validator="entropy"))
    assert "open: SND has not scored" in goal_text(report_of(tmp_path, validator="snd"))


def test_the_goal_has_a_price_in_wt(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", UP, data=ADAPTS, adaptation=DANN, wt=0.889)
    write_run(tmp_path, "uda_style", UP, data=ADAPTS, adaptation={"fourier": STYLE}, wt=0.895)
    rows = rows_of(tmp_path, resamples=50)
    assert not rows["uda"].reaches_goal
    assert rows["uda_style"].reaches_goal


def test_page_and_files(tmp_path: Path) -> None:
    write_choices(tmp_path)
    report = report_of(tmp_path)
    text = html(gap_document(report), folder=tmp_path)
    assert "8 test cases of the target, seeds 0, 1; in brackets 95 % bootstrap intervals over cases and 2 seeds" in text
    assert "<h1>Label-free benchmark (SYNTHETIC data)</h1>" in text
    assert ">Choosing without labels</h2>" in text
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert len(captions) == 4
    assert all("SYNTHETIC" in caption for caption in captions)
    assert "The first numbers are of uda_mean_teacher, which InfoMax chooses without labels." in text
    table = pd.read_csv(io.StringIO(to_csv(report))).set_index("model")
    assert table.loc["uda", "gap closed tc"] == pytest.approx(0.5, abs=1e-12)
    assert table["caption"].str.contains("SYNTHETIC").all()
    assert ">Choosing without labels, seed by seed</h2>" in text
    assert "Published sizes are flattered here" not in text  # there are none
    record = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert record["goal_met"] is True
    assert record["seed costs"]["infomax"]["chosen"] == {"0": ["uda"], "1": ["uda_mean_teacher"]}
    assert record["seed costs"]["entropy"]["mean_correlation"] is not None
    assert record["models"][0]["minutes"] is None
    write_bounds(tmp_path / "one")
    assert "over cases alone, as there is one seed" in report_of(tmp_path / "one").caption


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pedseg.reporting.figures.style.RESOLUTION", 40)
    runs, output = tmp_path / "the runs", tmp_path / "the report"
    write_choices(runs)
    for seed in (0, 1):
        run = RunFolder(runs / f"seed_{seed}" / "uda" / "fold_0")
        curves(adapts=True, epochs=5).to_csv(run.metrics, index=False)
    assert entry.main([str(runs), "--output", str(output), "--resamples", "50", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "SYNTHETIC" in shown.splitlines()[0]
    assert str(output / "index.html") in shown
    assert {path.stem for path in (output / "figures").iterdir()} == {"gap", "curves_uda_fold_0"}
    names = {path.name for path in output.iterdir() if path.is_file()}
    assert names == {"index.html", "gap.csv", "gap.json", ".pedseg-files.json"}
    text = (output / "index.html").read_text()
    assert 'href="figures/gap.pdf"' in text
    assert "features of both domains are not drawn: nowhere" in text
    assert entry.main([str(runs), "--output", str(output), "--resamples", "50", "--device", "cpu"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "gap.csv").write_text("mine")
    assert entry.main([str(runs), "--output", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "gap.csv").read_text() == "mine"


@pytest.mark.parametrize("words", [["--resamples", "0"], ["--seed", "-1"], ["--cases", "many"], ["--cases", "1"]])
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(entry.main([str(tmp_path), "--output", str(tmp_path / "out"), *words]))
    assert "; give " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_estimate_without_interval() -> None:
    assert np.isnan(Estimate(0.1).low)


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'monai', 'lightning', 'pandas', 'nibabel', 'scipy', 'hydra', 'numpy', 'sklearn', 'matplotlib'}"
    code = (
        f"import sys, pedseg.commands.benchmark as m; m.parser().format_help(); exit(len({heavy} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CORE = [1.0, 1, 1, 1, 1, 0.95, 0.6, 0.5]  # of WT: the last two cases have oedema


def write_strata(runs: Path, method: Sequence[float]) -> None:
    """Bounds and a method; 1* is better and the gap smaller where there is oedema."""
    for name, tc, data in (
        ("m1_adult_fold", [0.4] * 6 + [0.7] * 2, ADULTS),
        ("m3_mixed_nods", [0.9] * 6 + [0.8] * 2, BOTH),
        ("uda", method, ADAPTS),
    ):
        write_run(runs, name, tc, data=data, core=CORE, adaptation=DANN if name == "uda" else None)


def test_tc_and_its_gap_are_told_of_children_with_and_without_oedema(tmp_path: Path) -> None:
    write_strata(tmp_path, [0.9] * 6 + [0.65] * 2)
    row = rows_of(tmp_path, resamples=200)["uda"]
    assert row.dice[WITHOUT].value == pytest.approx(0.9)
    assert row.dice[WITH].value == pytest.approx(0.65)
    assert row.gap[WITHOUT].value == pytest.approx(1.0)
    assert row.gap[WITH].value == pytest.approx(-0.5)
    assert row.gap["tc"].value == pytest.approx((6 * 0.5 - 2 * 0.05) / (6 * 0.5 + 2 * 0.1))
    report = report_of(tmp_path)
    assert "(2 with oedema, 6 without oedema: TC/WT below 0.9 and above)" in report.caption
    head, line = (
        next(x for x in main_table(report.rows).markdown().splitlines() if start in x) for start in ("model", "| uda")
    )
    cells = dict(zip(map(str.strip, head.split("|")), map(str.strip, line.split("|")), strict=True))
    assert cells["Dice TC with oedema"].startswith("0.650")
    assert cells["TC with oedema gap closed (%)"].strip("*").startswith("-50")


def test_the_goal_asks_for_both_strata(tmp_path: Path) -> None:
    """Nearly all of the gap is closed in the mean over children, and nothing of it where there is oedema."""
    write_strata(tmp_path / "a", [0.9] * 6 + [0.70] * 2)
    write_strata(tmp_path / "b", [0.9] * 6 + [0.79] * 2)
    hidden, both = (rows_of(tmp_path / name, resamples=200)["uda"] for name in "ab")
    assert hidden.gap["tc"].value > 0.9
    assert not hidden.reaches_goal
    assert both.reaches_goal


def test_sizes_that_are_not_known_leave_the_strata_out(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", UP, data=ADAPTS, adaptation=DANN)
    row = rows_of(tmp_path, resamples=200)["uda"]
    assert np.isnan([row.dice[WITH].value, row.gap[WITHOUT].value]).all()
    assert row.reaches_goal
    assert "oedema" not in report_of(tmp_path).caption.replace(GOAL, "")


def test_the_rule_stands_beside_its_network_and_is_no_candidate(tmp_path: Path) -> None:
    write_bounds(tmp_path)
    write_run(tmp_path, "uda", HALF, data=ADAPTS, adaptation=DANN, validators={"infomax": 1.0})
    write_run(tmp_path, "m1_adult_fold", UP, variant="core", how={"rules": "core"})
    write_run(tmp_path, "m1_adult_fold", UP, variant="peds2023", how={"rules": "peds2023"})
    row = rows_of(tmp_path, resamples=200)["m1_adult_fold · core"]
    assert row.entry.role is Role.CONTROL
    assert row.gap["tc"].value == pytest.approx(1.0)
    report = report_of(tmp_path)
    assert "| m1\\_adult\\_fold · core | control |" in main_table(report.rows).markdown()
    assert "peds2023" not in main_table(report.rows).markdown()
    assert not any("core" in note for note in report.notes)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A", "Shift A, children: as measured. Methods, weights and validators were developed on it."),
        ("C", "Shift C, children: most with oedema. No method, weight or validator was chosen on it."),
        (1.25, ""),  # of before shifts had names
    ],
)
def test_the_page_says_what_was_chosen_on_a_shift(tmp_path: Path, name: object, said: str) -> None:
    write_bounds(tmp_path / "runs")
    cohort = tmp_path / "test" / "ped"
    for config in (tmp_path / "runs").rglob("config.json"):
        settings = json.loads(config.read_text())
        settings["data"]["cohorts"]["ped_test"]["folder"] = str(cohort)
        write_json(config, settings)
    assert "Shift" not in report_of(tmp_path / "runs").caption
    write_json(cohort / "SYNTHETIC.json", {"settings": {"shift": name}})
    assert f"{said} Made on" in report_of(tmp_path / "runs").caption
    assert ("Shift" in report_of(tmp_path / "runs").caption) == bool(said)
