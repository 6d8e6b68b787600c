"""CoNLL columns: both widths, both tag schemes, odd characters, and what can be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.records import Item
from quantrial.tasks.sources import LoadedItems, load_items
from quantrial.tasks.sources._conll import conll_rows
from quantrial.tasks.spans import Spans, spans_from_tags
from strategies import BIO_TAGS, attempt
from tasks.specs import Write, choice, spans

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O
. . O O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""


def load(path: Path, **options: Any) -> LoadedItems:
    dev = {"dev": options.pop("dev")} if "dev" in options else {}
    spec = spans({"type": "conll", "path": path.name, **dev}, **options)
    return load_items("ner", spec, base=path.parent)


def texts(items: tuple[Item, ...]) -> list[tuple[str, object]]:
    return [(item.content["text"], item.gold) for item in items]


def test_four_columns(write: Write) -> None:
    items = load(write("eng.testa", CONLL_2003)).items
    assert texts(items) == [
        ("EU rejects German call .", [["EU", "ORG"], ["German", "MISC"]]),
        ("Peter Blackburn", [["Peter Blackburn", "PER"]]),
    ]
    assert [item.source for item in items] == ["eng.testa:3", "eng.testa:9"]


@pytest.mark.parametrize("separator", ["\t", " ", "   ", " \t "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_two_columns_parted_by_tab_or_spaces(write: Write, separator: str, end: str) -> None:
    lines = ["Ada B-PER", "Lovelace I-PER", "wrote O", "", "  \t ", "", "Paris B-LOC"]
    text = end.join(separator.join(line.split(" ")) if line.strip() else line for line in lines)
    assert texts(load(write("a.conll", text)).items) == [
        ("Ada Lovelace wrote", [["Ada Lovelace", "PER"]]),
        ("Paris", [["Paris", "LOC"]]),
    ]


def test_iob1_opens_with_i(write: Write) -> None:
    text = "Ada I-PER\nsaw O\nParis I-LOC\nRome B-LOC\nItaly I-LOC\nIBM I-ORG\n"
    assert texts(load(write("a.conll", text)).items) == [
        (
            "Ada saw Paris Rome Italy IBM",
            [["Ada", "PER"], ["Paris", "LOC"], ["Rome Italy", "LOC"], ["IBM", "ORG"]],
        )
    ]


def test_repeated_mentions_are_kept(write: Write) -> None:
    assert texts(load(write("a.conll", "Rome B-LOC\nor O\nRome B-LOC\n")).items) == [
        ("Rome or Rome", [["Rome", "LOC"], ["Rome", "LOC"]])
    ]


@pytest.mark.parametrize(
    "odd", ["\u00a0", "10\u00a0000", "a\u2028b", "\x85", "\x0b", "\u3000", "#", "\ufe0f"]
)
def test_tokens_hold_any_character_but_tab_and_space(write: Write, odd: str) -> None:
    for separator in "\t ":
        text = f"{odd}{separator}B-PER\nx{separator}O\n"
        assert texts(load(write("a.conll", text)).items) == [(f"{odd} x", [[odd, "PER"]])]


def test_a_document_starts_a_sentence(write: Write) -> None:
    text = "a O\n-DOCSTART- -X- O O\nb O\n-DOCSTART-\nc O"
    assert [text for text, _ in texts(load(write("a.conll", text)).items)] == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:.*among the solved examples")
def test_types_restrict_gold_and_the_ids_follow(write: Write) -> None:
    path = write("eng.testa", CONLL_2003)
    write("dev", CONLL_2003)
    every, some = load(path), load(path, types=["org", "PER"], dev="dev", shots=1)
    assert texts(some.items) == [
        ("EU rejects German call .", [["EU", "ORG"]]),
        ("Peter Blackburn", [["Peter Blackburn", "PER"]]),
    ]
    assert [shot.gold for shot in some.shots] == [item.gold for item in some.items]
    assert every.items[0].id != some.items[0].id
    assert every.items[1].id == some.items[1].id


def test_types_are_compared_without_case(write: Write) -> None:
    path = write("a.conll", "Ada B-person\nRome B-Location\n")
    loaded = load(path, types=["PERSON", "location"])
    assert texts(loaded.items) == [("Ada Rome", [["Ada", "person"], ["Rome", "Location"]])]
    assert texts(load(path, types=["Person"]).items) == [("Ada Rome", [["Ada", "person"]])]


def test_types_that_never_occur(write: Write) -> None:
    path = write("eng.testa", CONLL_2003)
    with pytest.warns(
        DataWarning, match=r"tasks\.ner\.types: PERSON never occurs; types in the source: "
    ):
        load(path, types=["PERSON", "ORG"])
    message = "tasks.ner.types: none of PERSON occurs; types in the source: MISC, ORG, PER"
    with pytest.raises(StudyError, match=re.escape(message)):
        load(path, types=["PERSON"])


def test_examples_are_the_first_of_the_dev_file(write: Write) -> None:
    path = write("test.conll", "Ada B-PER\n")
    write("more/test.conll", "Bea B-PER\n\nCy B-PER\n")
    loaded = load(path, dev="more/test.conll", shots=1)
    assert [shot.content["text"] for shot in loaded.shots] == ["Bea", "Cy"]
    assert sorted(loaded.provenance["files"]) == ["more/test.conll", "test.conll"]
    message = (
        "tasks.ner.shots: asks for 1 examples, but the source offers 0; set `dev` in the source"
    )
    with pytest.raises(StudyError, match=re.escape(message)):
        load(path, shots=1)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a O\nb\n", 2, "1 column; expected 2 (token, tag), or 3 or 4 with the token first"),
        ("a x y z O\n", 1, "5 columns; expected 2 (token, tag), or 3 or 4"),
        ("a x O\nb O\n", 2, "2 columns; the lines before have 3"),
        ("a O\nb x y O\n", 2, "4 columns; the lines before have 2"),
        ("a\tO\n\tO\n", 2, "the token is empty"),
        ("a O\nb X-PER\n", 2, "the tag is 'X-PER'; expected O, or a type after a letter of BIO"),
        ("a O\nb E_PER\n", 2, "the tag is 'E_PER'"),
        ("a O\nb -100\n", 2, "the tag is '-100'"),
        ("a O\nb L-\n", 2, "the tag is 'L-'"),
        ("1 Ada B-PER\n2 left O\n\n1 Bo B-PER\n", 1, "the first column numbers the tokens"),
        ("0 O\n1 O\n", 1, "the first column numbers the tokens"),
        ("a O\nb B-\n", 2, "the tag is 'B-'"),
        ("a O\n\nb PER\n", 3, "the tag is 'PER'"),
        ("a\t\n", 1, "the tag is ''"),
        ("-DOCSTART- -X- -X- O\n\n", None, "holds no sentence"),
        ("", None, "the file is empty"),
        (b"a O\nb\xff O\n", 2, "not UTF-8 (byte 5 is 0xff)"),
    ],
)
def test_a_malformed_file_names_its_line(
    write: Write, text: str | bytes, line: int | None, message: str
) -> None:
    path = write("a.conll", text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.conll: no such file"):
        load(tmp_path / "a.conll")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder: cannot be read \(Is a directory\)"):
        load(tmp_path / "folder")


def test_choices_are_not_in_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds items of kind 'spans', but the task is 'choice'"):
        load_items("quiz", choice({"type": "conll", "path": "a"}), base=tmp_path)


@given(st.text(max_size=80))
def test_property_any_text_is_sentences_or_an_error_with_a_place(text: str) -> None:
    rows, error = attempt(lambda: list(conll_rows(text, Path("a.conll"))), DataError)
    assert error is None or error.line is not None
    assert all(surface in row.content["text"] for row in rows or () for surface, _ in row.gold)


def seqeval_spans(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    found = get_entities(tags)
    return [(" ".join(tokens[start : end + 1]), label) for label, start, end in found]


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), BIO_TAGS), max_size=12))
def test_spans_from_tags_against_reference(tagged: list[tuple[str, str]]) -> None:
    tokens, tags = [token for token, _ in tagged], [tag for _, tag in tagged]
    assert spans_from_tags(tokens, tags) == seqeval_spans(tokens, tags)


def real_sentences(shared_data: Path) -> list[tuple[list[str], list[str]]]:
    """The columns of WNUT-17, read another way."""
    text = (shared_data / "wnut17" / "test.conll").read_text(encoding="utf-8")
    blocks = [block.strip("\n") for block in re.split(r"\n[ \t]*\n", text)]
    columns = [[line.split("\t") for line in block.split("\n")] for block in blocks if block]
    return [([c[0] for c in rows], [c[1] for c in rows]) for rows in columns]


def test_real_columns_against_reference(shared_data: Path) -> None:
    sentences = real_sentences(shared_data)
    with pytest.warns(DataWarning) as caught:
        items = load(shared_data / "wnut17" / "test.conll").items
    copies, contradictions = sorted(str(one.message) for one in caught)[::-1]
    # a retweet that stands there three times, once with the account as a corporation
    assert "6 rows repeat an earlier one" in copies + contradictions
    assert "1 row asks what an earlier one asks and has another answer" in copies + contradictions
    assert len(items) == len(sentences) == 1287
    for item, (tokens, tags) in zip(items, sentences, strict=True):
        assert item.content["text"] == " ".join(tokens)
        assert [tuple(pair) for pair in item.gold] == seqeval_spans(tokens, tags)
    assert sum(not item.gold for item in items) / len(items) > 0.4


def perturbed(tags: list[str], sentence: int) -> list[str]:
    """Damage a sentence's tags in one of five ways, as a model would."""
    damage = sentence % 5
    if damage == 0:
        return ["O"] * len(tags)
    if damage == 1:
        return [tag.replace("person", "location") for tag in tags]
    if damage == 2:  # boundaries: every span loses its inside
        return ["O" if tag.startswith("I-") else tag for tag in tags]
    if damage == 3 and tags[0] == "O":
        return ["B-group", *tags[1:]]
    return tags


def test_micro_f1_against_reference_on_real_columns(shared_data: Path) -> None:
    # Scoring compares sets of texts, seqeval positions: they must agree where no sentence holds a
    # span twice and no two of its tokens look alike.
    task = Spans("ner", spans({"type": "conll", "path": "test.conll"}))
    totals = {"tp": 0.0, "fp": 0.0, "fn": 0.0}
    gold_tags, found_tags = [], []
    for number, (tokens, tags) in enumerate(real_sentences(shared_data)):
        if len({token.lower().strip() for token in tokens}) < len(tokens):
            continue
        found = perturbed(tags, number)
        gold_tags.append(tags)
        found_tags.append(found)
        gold = [list(pair) for pair in spans_from_tags(tokens, tags)]
        item = Item("ner", "x", {"text": " ".join(tokens)}, gold)
        text = json.dumps([{"text": t, "type": k} for t, k in spans_from_tags(tokens, found)])
        values = task.score(item, text).values
        totals = {key: totals[key] + values[key] for key in totals}
    assert len(gold_tags) > 500
    f1 = 2 * totals["tp"] / (2 * totals["tp"] + totals["fp"] + totals["fn"])
    assert 0.3 < f1 < 0.9
    assert f1 == pytest.approx(f1_score(gold_tags, found_tags), abs=1e-12)
