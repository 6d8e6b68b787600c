from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Row, Table
from quantrial.reporting.markdown import code, escape, slug, table

pytestmark = pytest.mark.usefixtures("undrawn")

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIGNS = st.text(alphabet="ab1 .)-+=#>*_`~|[]()!<>&;:/\\@$\n\t" + "é漢\u202e")


def shown(markdown: str) -> str:
    """Return what a reader of one paragraph sees, failing on anything else than text and code."""
    tokens = PARSER.parse(markdown)
    assert [token.type for token in tokens] in (
        ["paragraph_open", "inline", "paragraph_close"],
        [],
    ), tokens
    children = tokens[1].children or [] if tokens else []
    assert {child.type for child in children} <= {"text", "text_special", "code_inline"}, children
    return "".join(child.content for child in children)


@given(SIGNS | st.text())
def test_escaped_text_shows_as_it_is_property(text: str) -> None:
    assert shown(escape(text)) == clean(text).strip()


@given(SIGNS.map(lambda text: f"x{text}y"))
def test_escaped_text_shows_as_it_is_within_a_sentence_property(text: str) -> None:
    assert shown(f"says {escape(text)}.") == f"says {clean(text)}."


@given(SIGNS)
def test_code_shows_as_it_is_property(text: str) -> None:
    if clean(text).strip():
        assert shown(f"says {code(text)}.") == f"says {clean(text).strip()}."


@given(st.lists(st.tuples(SIGNS, SIGNS, st.booleans()), min_size=1, max_size=4))
def test_a_table_holds_any_text_in_its_cells_property(lines: list[tuple[str, str, bool]]) -> None:
    rows = tuple(Row((Cell(a), Cell(b, code=is_code))) for a, b, is_code in lines)
    text = table(Table("", (Column("one", numeric=False), Column("two")), rows))
    tokens = PARSER.parse(text)
    assert tokens[0].type == "table_open"
    cells = [t for before, t in itertools.pairwise(tokens) if before.type == "td_open"]
    seen = ["".join(c.content for c in cell.children or []) for cell in cells]
    assert seen == [clean(t).strip() for a, b, _ in lines for t in (a, b)]


def test_a_table_lines_up_in_plain_text() -> None:
    rows = (Row((Cell("q4"), Cell("−1.0 pp"))), Row((Cell("漢字"), Cell("+10.0 pp"))))
    text = table(Table("", (Column("arm", numeric=False), Column("difference")), rows))
    assert text.splitlines() == [
        "| arm  | difference |",
        "| ---- | ---------: |",
        "| q4   |    −1.0 pp |",
        "| 漢字 |   +10.0 pp |",
    ]


@pytest.mark.parametrize(
    "text", ["micro_f1", "3.0 pp", "< .001", "−12.5 pp", "58.5 % (51.6 to 65.1)", "q4_0: a; b"]
)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize("text", ["http://evil.example", "www.evil.example", "me@evil.example"])
def test_no_address_becomes_a_link(text: str) -> None:
    assert text not in escape(text)
    assert shown(escape(text)) == text


def test_a_heading_has_the_anchor_that_github_gives_it() -> None:
    assert slug("Contrasts: quiz, micro-F1") == "contrasts-quiz-micro-f1"
    assert slug("Data: my_task (2 remarks)") == "data-my_task-2-remarks"
