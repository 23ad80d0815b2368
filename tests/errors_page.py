"""Write docs/errors.md: every message with which pedseg refuses something, and what it says to do, from the source.

``make tables`` runs this; a test fails where the page is stale. Values stand as ``…``.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pedseg"
RAISED = ("PedsegError", "ProblemsError", "StoppedEarlyError")
FOUND = ("Problem",)  # of a case: what is wrong, and what to do
LEAST = 3  # words; shorter ones are parts of messages
INTRODUCTION = """\
# Errors and remedies

What pedseg refuses, with the remedy that the message names; `…` stands for files, values and names. Exit codes: 2 where
nothing was done, 1 where some cases are left out, 3 where a run stopped because it was told to, 128 + n by signal n.
Written from the source by `make tables`.
"""
ROOMS = {
    "imaging": "Images",
    "cases": "Cases, label maps and tables",
    "labels.py": "Label conventions",
    "data": "Preparation and stores",
    "settings": "Settings",
    "commands": "Commands",
    "assembly": "Before a training begins",
    "inference": "Prediction",
    "calibration": "Calibration",
    "interop": "Other software",
    "evaluation": "Scores and post-processing",
    "choosing": "Choosing without labels",
    "reporting": "Reports",
    "gap": "The benchmark",
}
OTHERS = "Everything else"


def messages(tree: ast.Module) -> Iterator[str]:
    """The texts of the errors and findings in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in (*RAISED, *FOUND):
            parts = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg in ("what", "fix"))]
            texts = [text_of(part) for part in parts]
            said = [text for text in texts if len(text.replace("…", "").split()) >= LEAST or node.func.id in FOUND]
            text = " → ".join(said[-2:]) if node.func.id in FOUND else "".join(said[:1])
            if len(text.replace("…", "").split()) >= LEAST:
                yield " ".join(text.split())


def text_of(node: ast.expr) -> str:
    """A text with … for what is filled in; only … for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return "…"


def page() -> str:
    """The page, in Markdown: a list for each room of the package."""
    found: dict[str, list[str]] = {heading: [] for heading in (*ROOMS.values(), OTHERS)}
    for path in sorted(PACKAGE.rglob("*.py")):
        heading = ROOMS.get(path.relative_to(PACKAGE).parts[0], OTHERS)
        found[heading] += messages(ast.parse(path.read_text(encoding="utf-8")))
    sections = [section(heading, texts) for heading, texts in found.items() if texts]
    return "\n".join([INTRODUCTION, *sections]).rstrip() + "\n"


def section(heading: str, texts: Sequence[str]) -> str:
    """A heading and its messages in order of the alphabet, each once; the places of values do not count."""
    ordered = sorted(set(texts), key=lambda text: (text.replace("…", "").lower().lstrip(" :,;·"), text))
    return "\n".join([f"## {heading}", "", *(f"- {escaped(text)}" for text in ordered), ""])


def escaped(text: str) -> str:
    """Text that is no markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|" else letter for letter in text)


def main() -> int:
    """Write the page where it is stale."""
    output = ROOT / "docs" / "errors.md"
    if not output.exists() or output.read_text(encoding="utf-8") != page():
        output.write_text(page(), encoding="utf-8")
        sys.stdout.write(f"{output.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
