"""Multiple choice: prompts, the grammar, scoring, examples."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.records import Item
from quantrial.tasks import make_task
from quantrial.tasks.choice import LETTERS, option_grammar
from quantrial.tasks.rows import shots_for
from strategies import choice_items, make_item
from tasks.specs import choice

BUNDLED = {"type": "bundled"}


def quiz(question: str, options: list[str], gold: str, **metadata: str) -> Item:
    return make_item("quiz", {"question": question, "options": options}, gold, metadata)


ITEM = quiz("Capital of France?", ["Rome", "Paris", "Bonn"], "B", subject="geo")
SHOTS = [
    quiz("Largest?", ["Sun", "Moon"], "A", subject="sky"),
    quiz("Capital of Italy?", ["Rome", "Oslo"], "A", subject="geo"),
    quiz("Capital of Norway?", ["Rome", "Oslo"], "B", subject="geo"),
    quiz("Capital of Spain?", ["Madrid", "Oslo"], "A", subject="geo"),
]


def questions(shots: tuple[Item, ...]) -> list[str]:
    return [shot.content["question"] for shot in shots]


def test_examples_are_the_first_of_the_items_own_subject() -> None:
    assert questions(shots_for(ITEM, SHOTS, 2)) == ["Capital of Italy?", "Capital of Norway?"]
    assert shots_for(ITEM, SHOTS, 0) == ()


def test_examples_are_the_first_of_all_where_no_subject_has_enough() -> None:
    assert questions(shots_for(ITEM, SHOTS, 4)) == questions(tuple(SHOTS))
    bare = quiz("?", ["x", "y"], "A")
    assert questions(shots_for(bare, SHOTS, 2)) == ["Largest?", "Capital of Italy?"]
    other = quiz("?", ["x", "y"], "A", subject="law")
    assert questions(shots_for(other, SHOTS, 1)) == ["Largest?"]


def test_chat_prompt() -> None:
    prompt = make_task("quiz", choice(BUNDLED, shots=1), shots=SHOTS).prompt(ITEM)
    (role, _), *rest = prompt.messages
    assert role == "system"
    assert rest == [
        ("user", "Capital of Italy?\nA. Rome\nB. Oslo\nAnswer:"),
        ("assistant", "A"),
        ("user", "Capital of France?\nA. Rome\nB. Paris\nC. Bonn\nAnswer:"),
    ]
    assert prompt.max_tokens == 16
    assert prompt.text is prompt.grammar is None


def test_shots_that_the_study_does_not_ask_for_are_not_shown() -> None:
    prompt = make_task("quiz", choice(BUNDLED, system=""), shots=SHOTS).prompt(ITEM)
    assert [role for role, _ in prompt.messages] == ["user"]


def test_completion_prompt() -> None:
    spec = choice(BUNDLED, prompt_format="completion", shots=1, system="Answer.", max_tokens=3)
    prompt = make_task("quiz", spec, shots=SHOTS).prompt(ITEM)
    assert prompt.text == (
        "Answer.\n\nCapital of Italy?\nA. Rome\nB. Oslo\nAnswer: A\n\n"
        "Capital of France?\nA. Rome\nB. Paris\nC. Bonn\nAnswer:"
    )
    assert prompt.max_tokens == 3


def test_option_prompt() -> None:
    spec = choice(BUNDLED, prompt_format="completion", answer_mode="option", shots=1, max_tokens=1)
    task = make_task("quiz", spec, shots=SHOTS)
    prompt = task.prompt(ITEM)
    assert task.needs == {"grammar"}
    assert prompt.text == (
        "Question: Capital of Italy?\nAnswer: Rome\n\nQuestion: Capital of France?\nAnswer:"
    )
    assert prompt.grammar == 'root ::= " Rome" | " Paris" | " Bonn"'
    assert prompt.max_tokens >= len(" Paris")


def test_grammar_escapes() -> None:
    assert option_grammar(['say "hi"', "a\\b", "x\ny\tz\r"]) == (
        r'root ::= " say \"hi\"" | " a\\b" | " x\ny\tz\r"'
    )


@given(choice_items())
def test_property_the_grammar_admits_the_options_and_no_more(item: Item) -> None:
    grammar = option_grammar(item.content["options"])
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', grammar)
    plain = [re.sub(r"\\(.)", r"\1", literal) for literal in literals]
    assert plain == [f" {option}" for option in item.content["options"]]


@pytest.mark.parametrize(
    ("scoring", "text", "correct", "answer"),
    [
        ("answer_letter", "The answer is B.", 1.0, "B"),
        ("answer_letter", "C", 0.0, "C"),
        ("answer_letter", "D", 0.0, None),  # no option of this item
        ("answer_letter", "A or B", 0.0, None),
        ("answer_letter", "", 0.0, None),
        ("first_letter", "The answer is B.", 0.0, "A"),
        ("first_letter", "b", 1.0, "B"),
        ("first_letter", "", 0.0, None),
    ],
)
def test_score_letters_by_hand(scoring: str, text: str, correct: float, answer: str | None) -> None:
    outcome = make_task("quiz", choice(BUNDLED, scoring=scoring)).score(ITEM, text)
    assert outcome.values == {"correct": correct}
    assert outcome.answer == answer
    assert outcome.parsed is (answer is not None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Paris", "B"),
        ("Paris\n", "B"),
        (" Rome", "A"),
        (" paris", None),
        (" Par", None),
        ("B", None),
    ],
)
def test_score_options_by_hand(text: str, answer: str | None) -> None:
    spec = choice(BUNDLED, prompt_format="completion", answer_mode="option")
    outcome = make_task("quiz", spec).score(ITEM, text)
    assert outcome.answer == answer
    assert outcome.values == {"correct": float(answer == "B")}


def test_an_option_with_blanks_around_can_be_right() -> None:
    spec = choice(BUNDLED, prompt_format="completion", answer_mode="option")
    item = quiz("?", [" x ", "y"], "A")
    assert make_task("quiz", spec).score(item, "  x ").values == {"correct": 1.0}


def test_either_copy_of_a_gold_text_listed_twice_is_right() -> None:
    spec = choice(BUNDLED, prompt_format="completion", answer_mode="option")
    item = quiz("?", ["x", "y", "x"], "C")
    assert make_task("quiz", spec).score(item, " x").values == {"correct": 1.0}


@given(choice_items(), st.text(), st.sampled_from(["answer_letter", "first_letter"]))
def test_property_any_text_is_scored(item: Item, text: str, scoring: str) -> None:
    task = make_task("quiz", choice(BUNDLED, scoring=scoring))
    outcome = task.score(item, text)
    assert outcome.values["correct"] in (0.0, 1.0)
    assert outcome.values["correct"] == float(outcome.answer == item.gold)


@given(choice_items(), st.booleans())
def test_property_the_right_answer_scores(item: Item, option: bool) -> None:
    options = {"prompt_format": "completion", "answer_mode": "option"} if option else {}
    text = item.content["options"][LETTERS.index(item.gold)] if option else item.gold
    assert make_task("quiz", choice(BUNDLED, **options)).score(item, text).values["correct"] == 1.0


@given(
    choice_items(), st.sampled_from(["letter", "option"]), st.sampled_from(["chat", "completion"])
)
def test_property_the_prompt_does_not_depend_on_the_gold(item: Item, mode: str, form: str) -> None:
    form = "completion" if mode == "option" else form
    task = make_task("quiz", choice(BUNDLED, answer_mode=mode, prompt_format=form))
    other = make_item(item.task, dict(item.content), "A", {})
    assert task.prompt(item) == task.prompt(other)
