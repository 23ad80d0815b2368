"""Voxel labels of predictions and labels: what agreement tells about them, on counts made by hand."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pedseg.cases.label_maps import Known
from pedseg.errors import PedsegError, ProblemsError
from pedseg.evaluation.agreement import Confusion, count_labels, doubt_default, doubt_exchange, settle
from pedseg.evaluation.pairing import Pair
from pedseg.evaluation.scoring import Conventions
from pedseg.labels import get_convention

B2023, PED2024, MSD = (get_convention(name) for name in ("brats2023", "brats_ped2024", "msd_task01"))


def given(name: str) -> Known:
    return Known(get_convention(name), "given", stated=True)


def assumed(name: str) -> Known:
    return Known(get_convention(name), "the default", stated=False)


def case(name: str, **voxels: int) -> Confusion:
    """Counts such as ``p1_l2=30``: 30 voxels are 1 in the prediction and 2 in the reference."""
    labels = {tuple(int(part[1:]) for part in key.split("_")): n for key, n in voxels.items()}
    return Confusion(Pair(name, Path(f"p/{name}.nii.gz"), Path(f"l/{name}.nii.gz")), labels)  # type: ignore[arg-type]


def nnunet_order(n: int = 3) -> list[Confusion]:
    """Perfect predictions with 1 ED and 2 NC, against labels with 1 NC and 2 ED."""
    return [case(f"c{i}", p1_l2=60, p2_l1=20, p3_l3=20) for i in range(n)]


def test_counts_of_files(tmp_path: Path) -> None:
    ours, theirs = (
        np.array(v, dtype=np.uint8).reshape(2, 2, 2) for v in ([0, 0, 1, 1, 3, 3, 3, 0], [0, 2, 1, 2, 3, 3, 0, 0])
    )
    paths = [tmp_path / "p.nii.gz", tmp_path / "l.nii.gz"]
    for path, data in zip(paths, (ours, theirs), strict=True):
        nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    counted, problems = count_labels([Pair("a", *paths), Pair("b", paths[0], tmp_path / "absent.nii.gz")])
    assert [one.voxels for one in counted] == [{(0, 2): 1, (1, 1): 1, (1, 2): 1, (3, 3): 2, (3, 0): 1}]
    assert counted[0].dice(Conventions(B2023, B2023)) == pytest.approx(2 * 3 / (5 + 3))
    assert [problem.case for problem in problems] == ["b"]


def test_dice_of_nothing_is_one() -> None:
    assert case("a").dice(Conventions(B2023, B2023)) == 1
    assert case("a", p2_l2=5).dice(Conventions(B2023, B2023)) == 1
    assert case("a", p1_l2=5).dice(Conventions(B2023, B2023)) == 0


def test_labels_in_nnunet_s_order_are_warned_of_with_both_figures() -> None:
    warning = settle(nnunet_order(), given("brats2023"), given("brats2023"))
    assert warning is not None
    for part in ("WARNING", "from 0.333 to 1.000", "1 and 2 exchanged", "--prediction-convention msd_task01"):
        assert part in warning  # 2 · 20 / (80 + 40)
    assert settle(nnunet_order(), given("msd_task01"), given("brats2023")) is None


def test_and_refused_where_nobody_stated_them() -> None:
    with pytest.raises(PedsegError) as refusal:
        settle(nnunet_order(), assumed("brats2023"), given("brats2023"))
    for part in (
        "nothing was scored",
        "0.333 to 1.000",
        "--prediction-convention msd_task01 if",
        "--prediction-convention brats2023 if",
    ):
        assert part in str(refusal.value)


def test_children_without_oedema_are_refused_where_nobody_stated_them() -> None:
    """BraTS-PEDs 2024 with 1 ET, 2 NET, 3 CC and no 4; all ET is predicted as NET. As brats2023: ET 1, TC .1."""
    counted = [case(f"c{i}", p2_l1=180, p2_l2=80, p3_l3=10) for i in range(3)]
    with pytest.raises(PedsegError) as refusal:
        settle(counted, assumed("brats2023"), assumed("brats2023"))
    assert "in which convention both sides are" in str(refusal.value)
    assert "Give --convention brats_ped2024 if they are, or --convention brats2023 if they are not" in str(
        refusal.value
    )
    assert settle(counted, assumed("brats_ped2024"), given("brats_ped2024")) is None


def test_enhancing_tumour_called_otherwise_is_seen_too() -> None:
    """Numbers of BraTS 2023 against labels of BraTS-PEDs 2024: TC is nearly the same, ET is missed altogether."""
    counted = [case(f"c{i}", p3_l1=30, p1_l2=60, p2_l4=4) for i in range(3)]
    with pytest.raises(PedsegError, match=r"mean Dice of ET would rise from 0\.000 to 1\.000"):
        settle(counted, assumed("brats_ped2024"), given("brats_ped2024"))


def test_a_default_that_leaves_no_et_on_either_side_is_no_better() -> None:
    counted = [case(f"c{i}", p3_l3=30, p3_l0=30, p0_l3=30) for i in range(3)]
    assert settle(counted, assumed("brats2023"), assumed("brats2023")) is None


def test_agreement_in_any_convention_is_no_doubt() -> None:
    counted = [case("a", p1_l1=10, p2_l2=90, p3_l3=30)]
    assert settle(counted, assumed("brats2023"), assumed("brats2023")) is None
    assert doubt_default([], assumed("brats2023"), assumed("brats2023")) is None


def test_one_case_of_two_is_warned_of_and_scored() -> None:
    counted = [case("a", p3_l3=27), case("b", p2_l3=27)]
    doubt = doubt_default(counted, assumed("brats2023"), assumed("brats2023"))
    assert doubt is not None
    assert (doubt.before, doubt.after, doubt.most) == (0.5, 1.0, False)
    assert "WARNING" in str(settle(counted, assumed("brats2023"), assumed("brats2023")))


def test_a_gain_below_the_bound_is_no_doubt() -> None:
    counted = [case("a", p1_l1=70, p2_l2=70, p1_l2=15, p2_l1=15)]
    assert doubt_exchange(counted, Conventions(B2023, B2023)) is None


def test_foreign_labels_of_either_side_are_refused() -> None:
    counted = [case("a", p1_l1=5, p2_l2=5), case("b", p4_l4=5)]
    with pytest.raises(ProblemsError, match="none of 2 cases can be scored: 1 of 2 labels hold labels that brats2023"):
        settle(counted, assumed("brats2023"), assumed("brats2023"))
    with pytest.raises(ProblemsError, match="1 of 2 predictions hold") as refusal:
        settle(counted, given("brats2023"), given("brats_ped2024"))
    assert "with --prediction-convention" in str(refusal.value)


def test_what_the_reference_ignores_is_not_compared() -> None:
    ignoring = get_convention({"et": 3, "nc": 1, "ed": 2, "ignore": 4})
    counted = case("a", p1_l1=10, p1_l4=50, p0_l1=10, p4_l1=5)
    assert counted.dice(Conventions(ignoring, ignoring)) == pytest.approx(20 / (10 + 25))
    settle([counted], Known(ignoring, "given", stated=True), Known(ignoring, "given", stated=True))
    with pytest.raises(ProblemsError, match="label 4"):
        settle([counted], given("brats2023"), given("brats2023"))
