"""Reading answers: hand-labelled texts of the kinds that small and large models write."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.tasks import letter_reader
from quantrial.tasks.choice import LETTERS
from quantrial.tasks.letters import answer_letter, first_letter
from repetitions import repetitions

FOUR = LETTERS[:4]

# (what a model wrote, what a reader takes); four options A-D
LABELLED: list[tuple[str, str | None]] = [
    # a letter and nothing else
    ("B", "B"),
    ("b", "B"),
    ("a", "A"),
    (" C\n", "C"),
    ("A.", "A"),
    ("D.", "D"),
    ("(B)", "B"),
    ("(a)", "A"),
    ("[C]", "C"),
    ("**D**", "D"),
    ("**D.**", "D"),
    ("`A`", "A"),
    ('"B"', "B"),
    ("“C”", "C"),
    ("__B__", "B"),
    ("\uff22", "B"),  # full width
    ("It\u2019s C", "C"),
    ("D \u2014 Jupiter", "D"),
    ("B<|im_end|>", "B"),
    ("C</s>", "C"),
    ("$B$", "B"),
    # a leading letter and its text
    ("B) Paris", "B"),
    ("B. Paris", "B"),
    ("b) Paris", "B"),
    ("b. Paris", "B"),
    ("(C) The Pacific Ocean", "C"),
    ("A. Paris is the capital of France.", "A"),
    ("A) Paris", "A"),
    ("A: Paris", "A"),
    ("D - the mitochondria", "D"),
    ("**B**: 42", "B"),
    ("**C. Rome**", "C"),
    ("B, because the others are too small.", "B"),
    ("A, since it is closest to the sun", "A"),
    ("C\n\nExplanation: Mars is red.", "C"),
    ("B Paris", "B"),
    ("- C", "C"),
    # a stated answer
    ("Answer: C", "C"),
    ("Answer: (c)", "C"),
    ("Answer: c", "C"),
    ("answer: a", "A"),
    ("Answer: a.", "A"),
    ("Answer:B", "B"),
    ("**Answer:** D", "D"),
    ("**Answer**: D", "D"),
    ("Answer - B", "B"),
    ("The answer is B.", "B"),
    ("The answer is **B**.", "B"),
    ("The answer is b.", "B"),
    ("the answer is (A)", "A"),
    ("The answer is A", "A"),
    ("The answer is: A. Paris", "A"),
    ("The correct answer is option D.", "D"),
    ("The correct answer is:\n\nB) Paris", "B"),
    ("The correct option is (D), the Amazon.", "D"),
    ("The best answer would be C", "C"),
    ("The answer to the question is B.", "B"),
    ("The right choice should be 'C'.", "C"),
    ("The answer is choice A.", "A"),
    ("My answer is B because heat rises.", "B"),
    ("Correct answer: D) Jupiter", "D"),
    ("ANSWER: C", "C"),
    ("The answer is likely D.", "D"),
    ("The answer is B and not C.", "B"),
    ("The answer is B, not C.", "B"),
    ('{"answer": "B"}', "B"),
    ("<answer>C</answer>", "C"),
    ("<think>A or B? B is wrong.</think>\nA", "A"),
    ("A is tempting. <answer>D</answer>", "D"),
    # LaTeX
    (r"\boxed{B}", "B"),
    (r"$\boxed{\text{C}}$", "C"),
    (r"The final answer is $\boxed{D}$.", "D"),
    (r"A looks right at first. \boxed{C}", "C"),
    (r"\textbf{B}", "B"),
    # a final answer outranks what came before
    ("The answer could be A. Final answer: C", "C"),
    ("**Final Answer:** B", "B"),
    # a conclusion
    ("I would choose B.", "B"),
    ("I'd go with option C.", "C"),
    ("Option B is correct.", "B"),
    ("B is the correct answer.", "B"),
    ("A is the right answer.", "A"),
    ("Lead is denser than iron, so C.", "C"),
    ("Therefore, the answer is D.", "D"),
    ("Therefore, it is B.", "B"),
    ("So it must be A.", "A"),
    ("Option A is wrong. The answer is C.", "C"),
    ("Option A is wrong, option B is wrong, so it is D.", "D"),
    ("A and B are wrong, so C.", "C"),
    ("It is not A but B.", "B"),
    ("The answer is not A, it is C.", "C"),
    ("Not A. B.", "B"),
    ("The answer is B because A is wrong.", "B"),
    ("The answer is B and A is wrong.", "B"),
    ("B, because A isn't possible", "B"),
    ("A) is incorrect. B) is correct.", "B"),
    ("Option B (Paris) is correct.", "B"),
    ("The correct answer is C, as options A and B are incorrect.", "C"),
    ("Based on the text, the answer must be (D).", "D"),
    ("The answer can't be A. It must be B.", "B"),
    ("I believe the correct answer is C. A might tempt some.", "C"),
    # a mention
    ("Option C", "C"),
    ("choice B", "B"),
    ("I think B.", "B"),
    ("I think it is (A).", "A"),
    ("It's C", "C"),
    ("Probably D", "D"),
    # ambiguous
    ("A or B", None),
    ("I think A or B", None),
    ("A and B", None),
    ("A/B", None),
    ("A, B", None),
    ("Either B or C.", None),
    ("Either A or B is correct.", None),
    ("A and B are correct.", None),
    ("A is correct. B is correct.", None),
    ("A is wrong.", None),
    ("Neither A nor B.", None),
    ("The answer is A or B.", None),
    ("The answer is A, B or C.", None),
    ("Both A and B are correct.", None),
    ("The answer is A. No, the answer is B.", "B"),
    ("A\nThe answer is B.", None),
    ("A. Paris\nB. London\nC. Rome\nD. Berlin", None),
    ("A) Paris B) London C) Rome D) Berlin", None),
    ("A. Paris B. London C. Rome D. Berlin", None),
    ("Options: A: Paris, B: London, C: Rome", None),
    ("Between A and C, it is hard to say.", None),
    # but a statement settles a list
    ("A. Paris\nB. London\nC. Rome\nD. Berlin\n\nAnswer: C", "C"),
    # a next question that the model invented is not read
    ("B\n\nQuestion: What is 2 + 2?\nA. 3\nB. 4\nAnswer: C", "B"),
    ("Question: What is 2 + 2?\nAnswer: C", "C"),
    # no answer
    ("", None),
    ("   \n", None),
    ("Paris", None),
    ("I don't know.", None),
    ("I am not sure.", None),
    ("A planet is a large body.", None),
    ("A dog is an animal", None),
    ("Answer: A planet with rings", None),
    ("The answer is a planet.", None),
    ("Vitamin C prevents scurvy.", None),
    ("Plan B failed.", None),
    ("None of the above", None),
    ("All of the above.", None),
    ("The answer is", None),
    ("Answer:", None),
    ("1", None),
    ("E", None),
    ("The answer is E.", None),
    ("Bananas, clearly. Also dates.", None),
    ("It's a B-52 bomber.", None),
    ("The capital isn't B", None),
    ("C'est la vie", None),
    ("???", None),
    ("[]", None),
    # what a template left in front, doubts, marks, what is taken back in brackets
    ("<|start_header_id|>assistant<|end_header_id|>\n\nB", "B"),
    ("assistant\n\nB", "B"),
    ("it is (b)", "B"),
    ("it is b (a dog)", None),
    ("Definitely B!", "B"),
    ("Certainly, C.", "C"),
    ("A? No. B? Yes.", None),
    ("A? I doubt it.", None),
    ("Is it A? No.", None),
    ("Is it A? No, it's B.", "B"),
    ("I guess B?", "B"),
    ("A A A A", "A"),
    ("B B B B", "B"),
    ("A B A B", None),
    ("B?", "B"),
    ("B) Paris?", "B"),
    ("A \u274c B \u2705 C \u274c", "B"),
    ("A \u2717\nC", "C"),
    ("Antwort: B (nicht A)", "B"),
    ("R\u00e9ponse : B (pas A)", "B"),
    ("B ist nicht richtig.", None),
]


@pytest.mark.parametrize("options", [2, 3, 4, 10])
def test_a_bare_letter_is_what_the_reader_takes_it_for(options: int) -> None:
    letters = LETTERS[:options]
    for letter in letters:
        for text in (letter, f" {letter}\n", f"\t{letter} "):
            assert answer_letter(text, letters) == letter_reader.read(text, letters) == letter
    for other in "KZ7é":
        assert answer_letter(other, letters) == letter_reader.read(other, letters)


@pytest.mark.parametrize(("text", "letter"), LABELLED)
def test_answer_letter_by_hand(text: str, letter: str | None) -> None:
    assert answer_letter(text, FOUR) == letter


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("The answer is J.", 10, "J"),
        ("I", 10, "I"),
        ("(i)", 10, "I"),
        ("I. Rome", 10, "I"),
        ("The answer is I.", 10, "I"),
        ("I think it is C", 10, "C"),
        ("Answer: I think it is C", 10, "C"),
        ("So I think that is F.", 10, "F"),
        ("I choose H", 10, "H"),
        ("I am sure.", 10, None),
        ("E", 5, "E"),
        ("E", 4, None),
        ("C", 2, None),
        ("C. No, B.", 2, "B"),
        ("A) Paris B) London", 2, None),
        ("A. It is not B.", 2, "A"),
        ("F or B", 4, "B"),
        ("The answer is C. Actually, I think it's G.", 10, "G"),
        ("Answer: C. Sorry, I meant D", 10, "D"),
        ("The answer is C. Actually, I am sure.", 10, "C"),
        ("Answer: A. Wait, I erred. Answer: I", 10, "I"),
    ],
)
def test_answer_letter_knows_the_options_of_the_item(
    text: str, options: int, letter: str | None
) -> None:
    assert answer_letter(text, LETTERS[:options]) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is B", "A"),  # the A of "answer": the published rule, flaw and all
        ("B) Paris", "B"),
        ("  **d**", "D"),
        ("Question", None),
        ("Lemon", None),
        ("E", None),
        ("", None),
        ("it is c", "C"),
    ],
)
def test_first_letter_by_hand(text: str, letter: str | None) -> None:
    assert first_letter(text, FOUR) == letter


def test_first_letter_looks_at_a_to_d_whatever_the_options() -> None:
    assert first_letter("E or F", LETTERS[:6]) is None
    assert first_letter("D", LETTERS[:2]) == "D"


@given(st.text(), st.integers(2, 10))
def test_property_any_text_is_read_to_an_option_or_nothing(text: str, options: int) -> None:
    letters = LETTERS[:options]
    assert answer_letter(text, letters) in {None, *letters}
    assert first_letter(text, letters) in {None, *"ABCD"}


WORDS = st.sampled_from(
    ["A", "B", "C", "D", "a", "b", "I", "the", "answer", "is", "not", "option", "correct", "or",
     "and", ",", ".", ":", "(", ")", "**", "\\boxed{", "}", "\n", "so", "Question:"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=25).map(" ".join), st.integers(2, 10))
def test_property_any_mix_of_cues_is_read_to_an_option_or_nothing(text: str, options: int) -> None:
    assert answer_letter(text, LETTERS[:options]) in {None, *LETTERS[:options]}


@given(
    st.sampled_from(FOUR), st.sampled_from(["{}", "{}.", "({})", "**{}**", "Answer: {}", "{}) x"])
)
def test_property_a_plain_answer_is_read_as_given(letter: str, form: str) -> None:
    assert answer_letter(form.format(letter), FOUR) == letter


@pytest.mark.parametrize(
    "piece",
    ["A", "A ", "A, ", "A or ", "(((", "**", "\\text{", "answer ", "answer is ",
     "the answer is the ", "correct ", "is is ", "so I ", "<", "<a>", "\n", "\nQuestion", " ",
     "not ", "_", "a.", "A) ", "- ",
     "is not ", "option ", "A is ", "\\boxed{", "\ufdfa", "final answer ",
     "B is the ", "=", "I ", "Answer: A. ", "die richtige Antwort ist die ", "A ist nicht ",
     "ist A ", "la réponse est la ", "es la ", "A resposta é a ", "odpowiedź to ", "svaret är ",
     "答案是", "A或", "A oder ", "richtig A ", "la B "],
)  # fmt: skip
@pytest.mark.parametrize("size", [30_000, *repetitions(100_000)])
def test_very_many_characters_take_no_time(piece: str, size: int) -> None:
    text = (piece * (size // len(piece) + 1))[:size]
    start = time.process_time()
    answer_letter(text, LETTERS)
    assert time.process_time() - start < 2.0
