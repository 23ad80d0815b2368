"""A table in place of a folder: every fault names file, row and column."""

import json
import os
from pathlib import Path

import pytest

from pedseg.cases import Discovery, find_cases
from pedseg.errors import PedsegError
from tests.cases.layouts import touch

HEAD = "case,t1n,t1c,t2w,t2f,label,patient"
ROLES = ("t1n", "t1c", "t2w", "t2f", "label")


def row(case: str, patient: str = "") -> str:
    return ",".join([case, *(f"images of {case}/{role}.nii.gz" for role in ROLES), patient])


def write(folder: Path, *rows: str, head: str = HEAD, plant: bool = True) -> Path:
    path = folder / "lists" / "cases.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n")
    for case in (text.split(",")[0] for text in rows if plant):
        touch(path.parent, *(f"images of {case}/{role}.nii.gz" for role in ROLES))
    return path


def find(path: Path, *, labelled: bool = True, allow_missing: bool = False) -> Discovery:
    return find_cases(path, cohort="x", labelled=labelled, allow_missing=allow_missing)


def test_paths_are_relative_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, row("b", "anna"), row("a"))
    found = find(path)
    assert [(case.id, case.patient) for case in found.cases] == [("a", "a"), ("b", "anna")]
    assert [image.path for image in found.cases[0].images] == [
        path.parent / f"images of a/{r}.nii.gz" for r in ROLES[:-1]
    ]
    assert found.cases[0].label == path.parent / "images of a" / "label.nii.gz"
    monkeypatch.chdir(path.parent)
    assert [case.id for case in find(Path("cases.csv")).cases] == ["a", "b"]


def test_columns_in_other_spellings_and_absolute_paths_and_json(tmp_path: Path) -> None:
    path = write(tmp_path, row("a"), head="Case;FLAIR;T1-weighted;T1 Gd;T2w;Seg;age".replace(";", ","))
    (case,) = find(path).cases
    assert [image.path.name for image in case.images] == ["t1c.nii.gz", "t2w.nii.gz", "t2f.nii.gz", "t1n.nii.gz"]
    record = {"case": "a", **{role: str(path.parent / "images of a" / f"{role}.nii.gz") for role in ROLES}}
    listed = tmp_path / "elsewhere" / "cases.json"
    listed.parent.mkdir()
    listed.write_text(json.dumps([record]))
    assert [image.path.name for image in find(listed).cases[0].images] == [f"{role}.nii.gz" for role in ROLES[:-1]]


def test_unlabelled_cohorts_never_look_at_the_column(tmp_path: Path) -> None:
    path = write(
        tmp_path, row("a").replace("images of a/label.nii.gz", "/nowhere/../gone"), head=HEAD.replace("label", "seg")
    )
    (case,) = find(path, labelled=False).cases
    assert case.label is None
    assert [problem.file for problem in find(path).problems] == ["cases.csv: line 2, column seg"]


def test_labels_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "a,images of a/label.nii.gz", head="case,label")
    assert find(path).lone_labels == {"a": path.parent / "images of a" / "label.nii.gz"}


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("gone.nii.gz", "gone.nii.gz: no such file"),
        ("images of a", "images of a: is a folder, and only files are read"),
        ("pipe.nii.gz", "pipe.nii.gz: is a pipe, and only files are read"),
        ("link.nii.gz", "link.nii.gz: a link to nothing"),
        ("scan.nrrd", "scan.nrrd: is NRRD, and NIfTI is read"),
        ("scan.txt", "scan.txt: is not called .nii or .nii.gz"),
        ("images of a/t1n.nii.gz", "t1n.nii.gz is in cases.csv: line 2, column t1n as well"),
        ("images of b/t1c.nii.gz", "t1c.nii.gz is in cases.csv: line 2, column t1c as well"),
        ("", "no t1c image"),
    ],
)
def test_faults_of_files_name_the_cell(tmp_path: Path, cell: str, what: str) -> None:
    path = write(tmp_path, row("a").replace("images of a/t1c.nii.gz", cell), row("b"))
    os.mkfifo(path.parent / "pipe.nii.gz")
    (path.parent / "link.nii.gz").symlink_to("nowhere")
    touch(path.parent, "scan.nrrd", "scan.txt")
    found = find(path)
    (problem,) = found.problems
    assert problem.file in ("cases.csv: line 2, column t1c", "cases.csv: line 3, column t1c")
    assert problem.what.endswith(what)
    assert len(found.cases) == 1


def test_cases_may_lack_sequences_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, row("a").replace("images of a/t1c.nii.gz", ""))
    assert find(path, labelled=False, allow_missing=True).cases[0].missing == ("t1c",)


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("case,t1n,t1c,t2w,label", ["a,b,c,d,e"], "has no column t2f; it has 'case', 't1n'"),
        ("id,t1n,t1c,t2w,t2f,label", ["a,b,c,d,e,f"], "has no column case"),
        ("case,t1n,t1c,t2w,t2f", ["a,b,c,d,e"], "has no column label; .* or set labelled=false"),
        ("case,t1n,t1,t1c,t2w,t2f,label", ["a,b,c,d,e,f,g"], "columns 't1n' and 't1' are both of one role"),
        (HEAD, [row("a"), row("A")], "line 2 and line 3 are both of case A"),
        (HEAD, [row("a"), "", row("Mu\u0308"), row("M\u00fc")], "line 4 and line 5 are both of case"),
        (HEAD, [row("../a")], r"line 2, column case: '\.\./a' cannot be a file name"),
        (HEAD, [row("")], "line 2, column case: is empty"),
        (HEAD, [row("a") + ",more"], "line 2 has 8 cells and the head has 7"),
        (HEAD, [], "has no rows"),
    ],
)
def test_faults_of_the_table(tmp_path: Path, head: str, rows: list[str], message: str) -> None:
    path = write(tmp_path, *rows, head=head, plant=False)
    with pytest.raises(PedsegError, match=message) as refusal:
        find(path)
    assert str(path) in str(refusal.value)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PedsegError, match="no such file"):
        find(tmp_path / "cases.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(PedsegError, match="is a pipe"):
        find(tmp_path / "pipe.csv")
    (tmp_path / "x.json").write_text('{"channel_names": {}}')
    with pytest.raises(PedsegError, match="is no list of records"):
        find(tmp_path / "x.json")
    (tmp_path / "x.csv").write_bytes(b"case\xff,t1n\n")
    with pytest.raises(PedsegError, match="UTF-8"):
        find(tmp_path / "x.csv")


def test_a_row_without_files(tmp_path: Path) -> None:
    (problem,) = find(write(tmp_path, "a,,,,,,", row("b"))).problems
    assert (problem.file, problem.what) == ("cases.csv: line 2", "names no file")
