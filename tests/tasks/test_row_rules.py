"""The rules of rows, which are the same for every reader: what is read, refused, or warned of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOBES, Entities

from quantrial.errors import DataError, DataWarning
from quantrial.tasks.sources import LoadedItems, load_items
from quantrial.tasks.spans import spans_from_tags
from tasks.specs import Write, choice, spans

Rows = list[dict[str, Any]]
Load = Callable[..., LoadedItems]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.fixture
def jsonl(tmp_path: Path) -> Load:
    """Load rows that stand in a file of JSON lines."""

    def load(rows: Rows, *, kind: str = "choice") -> LoadedItems:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
        make: Any = choice if kind == "choice" else spans
        return load_items("mine", make({"type": "jsonl", "path": "rows.jsonl"}), base=tmp_path)

    return load


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load rows that stand in a data set in the layout of the hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def load(rows: Rows, *, kind: str = "choice", features: Any = None) -> LoadedItems:
        path = tmp_path / "set" / "data" / "test-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {name: [row.get(name) for row in rows] for name in rows[0]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
        make: Any = choice if kind == "choice" else spans
        return load_items("mine", make({"type": "hub", "repo": "set"}), base=tmp_path)

    return load


@pytest.fixture(params=["jsonl", "hub"])
def reader(request: pytest.FixtureRequest) -> Load:
    found: Load = request.getfixturevalue(request.param)
    return found


def good(**changes: Any) -> dict[str, Any]:
    return {"question": "Who?", "choices": ["w", "x", "y"], "answer": 1, **changes}


ARC = {
    "id": "Mercury_7", "question": "Which one?",
    "choices": {"text": ["w", "x", "y", "z"], "label": ["A", "B", "C", "D"]}, "answerKey": "C",
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        (ARC, "C"),
        ({**ARC, "choices": {"text": list("wxyz"), "label": list("1234")}, "answerKey": "3"}, "C"),
        ({**ARC, "choices": {"text": list("wxy"), "label": list("123")}, "answerKey": "1"}, "A"),
        ({**ARC, "choices": {"text": list("wx"), "label": ["b", "a"]}, "answerKey": " A "}, "B"),
        ({**ARC, "choices": [{"text": t, "label": t.upper()} for t in "wxyz"],
          "answerKey": "Z"}, "D"),
        ({**ARC, "choices": list("wxyz"), "answerKey": "b"}, "B"),
        ({**ARC, "choices": list("wxyz"), "answerKey": "4"}, "D"),
        ({**ARC, "choices": {"text": ["w", "x"], "label": [1, 2]}, "answerKey": 2}, "B"),
        ({"question_stem": "Which one?", "choices": ARC["choices"], "answerKey": "A"}, "A"),
        ({"question": "Which one?", "options": {"A": "w", "B": "x"}, "answer": "B"}, "B"),
        ({"question": "Which one?", "choices": ARC["choices"], "answer": 1}, "B"),
        ({"question": {"stem": "Which one?", "choices": [
            {"text": "w", "label": "1"}, {"text": "x", "label": "2"}]}, "answerKey": "2"}, "B"),
    ],
)  # fmt: skip
def test_answers_by_label_are_read(reader: Load, row: dict[str, Any], gold: str) -> None:
    (item,) = reader([row]).items
    assert (item.content["question"], item.gold) == ("Which one?", gold)
    assert item.content["options"] == list("wxyz")[: len(item.content["options"])]
    assert item.metadata == ({"id": "Mercury_7"} if "id" in row else {})


def test_an_item_is_the_same_with_labels_or_without(jsonl: Load) -> None:
    plain = {"question": "Which one?", "options": list("wxyz"), "answer": 2}
    assert jsonl([ARC]).items[0].id == jsonl([plain]).items[0].id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": None}, "'question' is None; expected a text"),
        ({"question": 7}, "'question' is 7; expected a text"),
        ({"question": ""}, "the question is empty"),
        ({"question": " \n"}, "the question is empty"),
        ({"choices": None}, "'choices' is None; expected a list of texts"),
        ({"choices": ["w", None, "y"]}, "option B is None; expected a text"),
        ({"choices": ["w", "x", "  "]}, "option C is empty"),
        ({"choices": []}, "0 options; expected 2 to 10"),
        ({"choices": ["w"]}, "1 option; expected 2 to 10"),
        ({"choices": [1, 2, 3]}, "option A is 1; expected a text"),
        ({"answer": None}, "'answer' is None; expected an index from 0, or a letter"),
        (
            {"answer": -1},
            "the answer is index -1; with 3 options, expected 0 to 2 (-1 ",
        ),
        ({"answer": 3}, "the answer is index 3; with 3 options"),
        ({"answer": 1.5}, "'answer' is 1.5; expected an index"),
        ({"answer": True}, "'answer' is True; expected an index"),
        ({"answer": "E"}, "the answer is 'E'; with 3 options, expected a letter from A to C"),
        ({"answer": ""}, "the answer is ''"),
        ({"answer": [1]}, "'answer' is [1]"),
    ],
)
def test_parts_that_are_none_are_named_with_their_row(
    reader: Load, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        reader([{**good(), **changes}])
    assert caught.value.line == 1


def labelled(texts: Any, labels: Any, key: Any) -> dict[str, Any]:
    return {"question": "Q?", "choices": {"text": texts, "label": labels}, "answerKey": key}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (labelled(["w", "x"], ["A", "B"], "C"), "'answerKey' is 'C'; the labels are A, B"),
        (labelled(["w", "x"], ["A", "B"], ""), "'answerKey' is ''; the labels are A, B"),
        (labelled(["w", "x"], ["A", "B"], "1"), "'answerKey' is '1'; the labels are A, B"),
        (labelled(["w", "x"], ["A", "B"], None), "'answerKey' is None; expected a label"),
        (labelled(["w", "x"], ["A", "A"], "A"), "the label 'A' occurs twice"),
        (labelled(["w", "x"], ["A", " a"], "A"), "the label 'A' occurs twice"),
        (labelled(["w", "x"], ["A", None], "A"), "the label None is neither"),
        (labelled(["w", "x"], ["A", ""], "A"), "the label '' is neither"),
        (
            labelled(["w", "x"], ["A"], "A"),
            "the labels are ['A']; expected one for each of 2",
        ),
        (labelled(["w", "x"], None, "A"), "2 choices"),
        (labelled(["w", None], ["A", "B"], "A"), "option B is None"),
        (labelled("wx", ["A", "B"], "A"), "'choices' is 'wx'; expected a list of texts"),
        ({"question": "Q?", "choices": ["w", "x"], "answerKey": "0"}, "the labels are 1, 2"),
        ({"question": "Q?", "choices": ["w", "x"], "answerKey": 1}, "'answerKey' is 1; expected a"),
        (
            {**labelled(["w", "x"], ["1", "2"], "1"), "answer": 1, "answerKey": None},
            "'answerKey' is None",
        ),
        (
            {"question": "Q?", "choices": {"text": ["w", "x"], "label": ["1", "2"]}, "answer": 1},
            "'answer' is 1. This may be an index from 0, or the label '1'.",
        ),
    ],
)
def test_labels_and_keys_that_do_not_fit_are_named_with_their_row(
    reader: Load, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        reader([row])
    assert caught.value.line == 1


def test_a_choice_that_lacks_its_label_is_named(jsonl: Load) -> None:
    choices = [{"text": "w", "label": "A"}, {"text": "x"}]
    with pytest.raises(DataError, match=r"line 1: the choice \{'text': 'x'\} lacks a text"):
        jsonl([{"question": "Q?", "choices": choices, "answerKey": "A"}])


def tagged(tags: Any, tokens: Any = ("Ada", "left")) -> dict[str, Any]:
    return {"tokens": None if tokens is None else list(tokens), "ner_tags": tags}


def class_labels() -> Any:
    from datasets import ClassLabel, Features, List, Value

    return Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=TAGS))})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (tagged([1, -100]), "tag 2 is -100; expected the number of a tag, 0 to 4 (-1 and -100 "),
        (tagged([-1, 0]), "tag 1 is -1; expected the number of a tag, 0 to 4 (-1 and"),
        (tagged([1, None]), "tag 2 is None; expected the number of a tag, 0 to 4"),
        (tagged(None), "'tags' is None; expected a list"),
        (tagged([0, 0], None), "'tokens' is None; expected a list"),
        (tagged([0, 0], ["Ada", None]), "token 2 is None; expected a text"),
        (tagged([0, 0], ["", "left"]), "token 1 is empty"),
        (tagged([0]), "2 tokens, but 1 tag"),
        (tagged([], []), "the sentence has no tokens"),
    ],
)
def test_tags_of_the_hub_that_name_nothing_are_an_error_with_their_row(
    hub: Load, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        hub([tagged([1, 0]), row], kind="spans", features=class_labels())
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("tags", "message"),
    [(["O", None], "tag 2 is None; expected O, or a type"), (["O", "PER"], "tag 2 is 'PER'")],
)
def test_tags_in_texts_that_are_none_are_an_error_with_their_row(
    hub: Load, tags: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        hub([tagged(["O", "O"]), tagged(tags)], kind="spans")
    assert caught.value.line == 2


def test_metadata_without_a_value_is_left_out(hub: Load) -> None:
    from datasets import ClassLabel, Features, List, Value

    features = Features(
        {
            "question": Value("string"),
            "choices": List(Value("string")),
            "answer": Value("int64"),
            "subject": ClassLabel(names=["law", "art"]),
            "year": Value("float64"),
            "note": Value("string"),
        }
    )
    more = {"subject": -1, "year": float("nan"), "note": None}
    items = hub(
        [good(**more), good(question="What?", subject=1, year=2.5, note="n")], features=features
    ).items
    assert [item.metadata for item in items] == [{}, {"subject": "art", "year": "2.5", "note": "n"}]


TAGGED_IN_TEXTS = ["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-LOC", "I-LOC", "E-LOC", "S-LOC"]
LETTERS_OF = {"BILOU": {"E": "L", "S": "U"}, "BMES": {"I": "M"}, "BMEWO": {"I": "M", "S": "W"}}


@given(st.lists(st.sampled_from(TAGGED_IN_TEXTS), max_size=12))
def test_bioes_and_its_kin_against_reference(tags: list[str]) -> None:
    """seqeval reads BIOES; the other schemes are BIOES in other letters."""
    tokens = [f"w{i}" for i in range(len(tags))]
    expected = [
        (" ".join(tokens[start : end + 1]), label) for label, start, end in get_entities(tags)
    ]
    assert spans_from_tags(tokens, tags) == expected
    for letters in LETTERS_OF.values():
        other = [letters.get(tag[0], tag[0]) + tag[1:] for tag in tags]
        assert spans_from_tags(tokens, other) == expected


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["PER", "LOC", ""])), max_size=6))
def test_whole_spans_in_strict_schemes_against_reference(runs: list[tuple[int, str]]) -> None:
    for scheme, single, last in ((IOBES, "S", "E"), (BILOU, "U", "L")):
        tags: list[str] = []
        for length, label in runs:
            inside = ["B", *["I"] * (length - 2), last] if length > 1 else [single]
            tags += [f"{letter}-{label}" if label else "O" for letter in inside]
        tokens = [f"w{i}" for i in range(len(tags))]
        (found,) = Entities([tags], scheme=scheme).entities if tags else ([],)
        expected = [(" ".join(tokens[one.start : one.end]), one.tag) for one in found]
        assert spans_from_tags(tokens, tags) == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["Ada NNP B-PER", "Lovelace NNP E-PER", "saw VBD O", "Rome NNP S-LOC"],
        ["Ada X Y B-PER", "Lovelace X Y L-PER", "saw X Y O", "Rome X Y U-LOC"],
        ["Ada B-PER", "Lovelace E-PER", "saw O", "Rome S-LOC"],
        ["Ada\tNNP\tB-PER", "Lovelace\tNNP\tI-PER", "saw\tVBD\tO", "Rome\tNNP\tI-LOC"],
    ],
)
def test_columns_with_two_three_and_four_cells_in_every_scheme(
    write: Write, tmp_path: Path, lines: list[str]
) -> None:
    write("a.conll", "\n".join(lines) + "\n")
    (item,) = load_items("ner", spans({"type": "conll", "path": "a.conll"}), base=tmp_path).items
    assert item.content["text"] == "Ada Lovelace saw Rome"
    assert item.gold == [["Ada Lovelace", "PER"], ["Rome", "LOC"]]


@pytest.mark.parametrize(
    "second",
    [
        good(answer=2),
        good(question="Who? ", answer=0),
        {"question": "Who?", "choices": ["x", "y", "w"], "answer": 1},  # other order, other text
    ],
)
def test_one_question_with_two_golds_is_warned_of(reader: Load, second: dict[str, Any]) -> None:
    message = (
        r"mine: 1 row asks what an earlier one asks and has another answer, .*1 says B \('x'\)"
    )
    with pytest.warns(DataWarning, match=message):
        loaded = reader([good(), good(question="What?"), second])
    ((one, other),) = loaded.provenance["contradictions"]
    assert (one[-2:], other[-2:]) == (":1", ":3")


def test_the_same_answer_in_another_order_is_no_contradiction(jsonl: Load) -> None:
    rows = [good(), {"question": "Who?", "choices": ["x", "w", "y"], "answer": 0}]
    assert "contradictions" not in jsonl(rows).provenance


def test_one_sentence_with_two_golds_is_warned_of(write: Write, tmp_path: Path) -> None:
    write("a.conll", "Rome B-LOC\nfell O\n\nRome B-ORG\nfell O\n\nRome B-LOC\nrose O\n")
    with pytest.warns(DataWarning, match=r"ner: 1 row asks .*a\.conll:1 says 1 entity, a\.conll:4"):
        load_items("ner", spans({"type": "conll", "path": "a.conll"}), base=tmp_path)


def test_a_question_of_the_examples_with_another_gold_is_warned_of(
    write: Write, tmp_path: Path
) -> None:
    write("m/law_test.csv", "Who?,w,x,C\n".replace("C", "B"))
    write("m/law_dev.csv", "Who?,w,x,A\n")
    with pytest.warns(DataWarning, match=r"law_test\.csv:1 says B .* law_dev\.csv:1 says A"):
        load_items("quiz", choice({"type": "mmlu_csv", "path": "m"}), base=tmp_path)


CONTROL = [
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|start_header_id|>", "<|end|>", "<|channel|>",
    "<|START_OF_TURN_TOKEN|>", "[INST]", "[/INST]", "<<SYS>>", "<start_of_turn>", "<end_of_turn>",
    "</s>", "<bos>", "<\uff5cUser\uff5c>", "<think>", "</think>",
]  # fmt: skip
PLAIN = ["a <| b |> c", "<b>bold</b>", "[1]", "x < s > y", "|>", "<|>", "[Inst.]", "<<a>>", "5<|x|"]


@pytest.mark.parametrize("token", CONTROL)
def test_a_control_token_inside_an_item_is_warned_of(reader: Load, token: str) -> None:
    message = re.escape(f"{token!r}); take it out")
    for row in (good(question=f"Who{token}?"), good(choices=["w", f"x {token}", "y"])):
        with pytest.warns(DataWarning, match=message):
            loaded = reader([good(question="What?"), row])
        ((place, found),) = loaded.provenance["control_tokens"]
        assert (place[-2:], found) == (":2", token)


def test_a_control_token_inside_a_sentence_or_a_csv_cell_is_warned_of(
    write: Write, tmp_path: Path
) -> None:
    write("a.conll", "Ada B-PER\n<|im_end|> O\n")
    with pytest.warns(DataWarning, match=r"ner: 1 item holds a control token.*<\|im_end\|>"):
        load_items("ner", spans({"type": "conll", "path": "a.conll"}), base=tmp_path)
    write("m/law_test.csv", "Who?,w,[INST] x,C\n".replace("C", "B"))
    with pytest.warns(DataWarning, match=r"quiz: 1 item holds a control token"):
        load_items("quiz", choice({"type": "mmlu_csv", "path": "m"}), base=tmp_path)


@pytest.mark.parametrize("text", PLAIN)
def test_brackets_of_plain_text_are_no_control_token(jsonl: Load, text: str) -> None:
    assert "control_tokens" not in jsonl([good(question=text)]).provenance
