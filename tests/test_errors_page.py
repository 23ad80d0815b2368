"""docs/errors.md is what the source says today, and the reader of the source finds what it should."""

import ast

from tests import errors_page


def test_the_page_is_that_of_the_source() -> None:
    page = (errors_page.ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == errors_page.page(), "run make tables"


def test_what_is_read() -> None:
    source = """
raise PedsegError(f"{path}: is no label map " "at all; give one")
raise PedsegError(f"{path}: " + "cannot be read; mend it")
raise PedsegError(str(error))
raise ValueError("is none of ours")
problems.append(Problem(case, file, f"holds label {value}, which it lacks", fix="give a convention"))
"""
    assert list(errors_page.messages(ast.parse(source))) == [
        "…: is no label map at all; give one",
        "…: cannot be read; mend it",
        "holds label …, which it lacks → give a convention",
    ]
