"""The shape of the code: rooms that no visitor gets lost in, short functions, tests where one looks for them."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pedseg"
LARGEST_ROOM = 0.15  # of the lines of code
LONGEST = 20  # lines of code that nine functions in ten do not exceed
ELSEWHERE = {
    "benchmarks",
    "devices",
    "extension",
    "faults",
    "slurm",
}  # of the whole, on other machines, against peers, of others


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text())


def lines(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines that hold code: neither blank ones nor comments or docstrings."""
    begun = {inner.lineno for inner in ast.walk(node) if isinstance(inner, ast.stmt | ast.expr | ast.arg | ast.keyword)}
    ended = {inner.end_lineno for inner in ast.walk(node) if isinstance(inner, ast.stmt) and not hasattr(inner, "body")}
    texts = [
        range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant) and isinstance(inner.value.value, str)
    ]
    return len((begun | ended) - {line for text in texts for line in text})


def test_no_room_holds_more_than_its_share() -> None:
    rooms: Counter[str] = Counter()
    for path, module in modules():
        rooms[path.parts[0] if len(path.parts) > 1 else ""] += lines(module)
    room, most = rooms.most_common(1)[0]
    assert most / rooms.total() <= LARGEST_ROOM, f"{room} holds {most} of {rooms.total()} lines; part it"


def test_nine_functions_in_ten_are_short() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = sorted(lines(node) for _, module in modules() for node in ast.walk(module) if isinstance(node, kinds))
    assert lengths[int(0.9 * len(lengths))] <= LONGEST


def test_tests_have_the_rooms_of_the_code() -> None:
    tests = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and any(path.rglob("test_*.py"))}
    rooms = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")} - {"."}
    assert tests - ELSEWHERE <= rooms
    assert {room for room in rooms if "/" not in room} <= tests
