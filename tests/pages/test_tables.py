"""Tables as Markdown, and which of their columns are numbers."""

from pedseg.pages.tables import BEST, SECOND, Cell, Table, count, number, share


def test_markdown() -> None:
    rows = [
        [Cell("a|b"), number(0.1234, 3, mark=BEST), share(2, 3)],
        [Cell("c_d"), number(float("nan"), 3), Cell("")],
        [Cell("<e>"), number(0.1, 3, mark=SECOND), share(1, 3)],
    ]
    text = Table("t", "A *caption*", ["model", "Dice < 1", "changed"], rows, ["A_note"]).markdown()
    assert text.splitlines() == [
        r"A \*caption\*",
        "",
        r"| model | Dice \< 1 | changed |",
        "|---|---:|---:|",
        r"| a\|b | **0.123** | 2 of 3 |",
        r"| c\_d | – |  |",
        r"| \<e\> | <u>0.100</u> | 1 of 3 |",
        "",
        r"A\_note",
    ]


def test_a_table_of_dashes_has_no_numbers() -> None:
    assert Table("t", "", ["a", "b"], [[Cell("–"), count(1)]]).numeric == [False, True]
    assert Table("t", "", ["a"], []).numeric == [False]


def test_numbers() -> None:
    assert number(-0.0001, 3, signed=True).text == "+0.000"
    assert number(0.25, 1).value == 0.25
    assert number(float("inf"), 1).value is None
    assert count(3) == Cell("3", 3.0)
