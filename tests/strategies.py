"""Hypothesis strategies, and what goes with them in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from hypothesis import strategies as st

from quantrial.records import Item, content_hash
from quantrial.tasks.choice import LETTERS

# no surrogates (no file holds them), no letters of answers by accident of position
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and text != ""
)
KEYS = st.sampled_from(["subject", "genre", "source_day"])
BIO_TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-creative-work"])

# short texts of few words, so that spans in them meet and overlap
WORDS = st.sampled_from(["a", "b", "c", "d"])
FEW_WORDS = st.lists(WORDS, max_size=7).map(" ".join)
SPANS = st.frozensets(
    st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), st.sampled_from(["X", "Y"])),
    max_size=4,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def choice_items(draw: st.DrawFn, task: str = "quiz") -> Item:
    """Draw a multiple-choice item with 2 to 10 different options."""
    options = draw(st.lists(TEXTS, min_size=2, max_size=10, unique=True))
    gold = draw(st.sampled_from(LETTERS[: len(options)]))
    content = {"question": draw(TEXTS), "options": options}
    return make_item(task, content, gold, draw(st.dictionaries(KEYS, TEXTS, max_size=2)))


@st.composite
def spans_items(draw: st.DrawFn, task: str = "names") -> Item:
    """Draw a sentence of words, some of which are its entities."""
    words = draw(st.lists(st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True), min_size=1, max_size=8))
    labels = st.sampled_from(["PER", "LOC", "ORG"])
    gold = [[word, draw(labels)] for word in words if draw(st.booleans())]
    return make_item(task, {"text": " ".join(words)}, gold, {})


@st.composite
def strata(
    draw: st.DrawFn, *, min_size: int = 1, max_strata: int = 5, key: str = "subject"
) -> list[Item]:
    """Draw items of several strata, each with at least `min_size` items."""
    names = draw(st.lists(TEXTS, min_size=1, max_size=max_strata, unique=True))
    sizes = [draw(st.integers(min_size, min_size + 6)) for _ in names]
    return [
        make_item("quiz", {"question": f"{name} {i}", "options": ["x", "y"]}, "A", {key: name})
        for name, size in zip(names, sizes, strict=True)
        for i in range(size)
    ]


def make_item(
    task: str, content: Mapping[str, object], gold: object, metadata: Mapping[str, str]
) -> Item:
    """Make an item the way a source does, its id from its content."""
    digest = content_hash(content, gold)
    return Item(task, digest[:16], content, gold, metadata, "made:1", digest)


Result = TypeVar("Result")
Error = TypeVar("Error", bound=Exception)


def attempt(call: Callable[[], Result], error: type[Error]) -> tuple[Result | None, Error | None]:
    """Return what a call gives, or the error it is allowed to raise; any other goes through."""
    try:
        return call(), None
    except error as exc:
        return None, exc
