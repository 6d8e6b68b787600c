"""What of a text is the answer: thoughts of every kind of tag, finished and cut, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.tasks.answer import Answer, read_answer, starts_in_thought, was_cut, with_thought
from quantrial.thought_tags import opening_tag_at_end
from repetitions import repetitions

# kind -> how a thought opens and closes; "{}" is the thought, the answer follows
PAIRS = {
    "DeepSeek, Qwen": ("<think>", "</think>"),
    "upper case": ("<THINK>", "</THINK>"),
    "with an attribute": ('<think effort="high">', "</think>"),
    "spaced": ("< think >", "</ think>"),
    "back slash": ("<think>", "<\\think>"),
    "thinking": ("<thinking>", "</thinking>"),
    "reasoning": ("<reasoning>", "</reasoning>"),
    "EXAONE": ("<thought>", "</thought>"),
    "Marco-o1": ("<Thought>", "</Thought>"),
    "LongCat": ("<longcat_think>", "</longcat_think>"),
    "Seed": ("<seed:think>", "</seed:think>"),
    "MiniMax M3": ("<mm:think>", "</mm:think>"),
    "another name space": ("<acme:thinking>", "</acme:thinking>"),
    "Magistral": ("[THINK]", "[/THINK]"),
    "Kimi": ("◁think▷", "◁/think▷"),
    "Kimi K3": ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    "Cohere": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "OpenThinker": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "Apertus": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "Gemma": ("<|channel>thought\n", "<channel|>"),
    "MedGemma": ("<unused94>thought\n", "<unused95>"),
    "Pangu": ("[unused16]", "[unused17]"),
    "Solar": ("<|think|>", "<|end|><|begin|>assistant<|content|>"),
    "bars": ("<|thinking|>", "<|/thinking|>"),
    "s1": ("<|im_start|>think\n", "<|im_end|><|im_start|>answer\n"),
    "Granite": ("Here is my thought process:", "Here is my response:"),
    "Granite, shortened": ("Here's my thought process:", "Here's my response:"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    "gpt-oss, its control tokens dropped": ("analysis", "assistantfinal"),
    "one tag closed by another": ("<thinking>", "</think>"),
}
THOUGHT = 'We compare A and B. "A" is [{"text": "Ada", "type": "PER"}], so it may be A.'


@pytest.mark.parametrize("kind", PAIRS)
def test_a_thought_is_no_part_of_the_answer(kind: str) -> None:
    opening, closing = PAIRS[kind]
    # without its control tokens, a word of the text follows the channel's name
    for between in ("",) if kind.endswith("dropped") else ("", "\n", "\n\n"):
        found = read_answer(f"{opening}{between}{THOUGHT}{between}{closing}{between}B")
        assert (found.text, found.unfinished, found.unknown_tag) == ("B", False, None)
        assert found.thought.startswith("We compare A and B.")


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("reason", ["length", "repeat_limit", "stop", None])
def test_a_thought_that_never_closes_is_no_answer(kind: str, reason: str | None) -> None:
    opening, _ = PAIRS[kind]
    texts = [f"{opening}{THOUGHT}", f"\n {opening}{THOUGHT}\n"]
    if not kind.endswith("dropped"):
        texts += [f"{opening}\n{THOUGHT}", opening]
    for text in texts:
        found = read_answer(text, finish_reason=reason)
        assert (found.text, found.unfinished, found.is_empty) == ("", True, True)
        assert found.output == text


@pytest.mark.parametrize("kind", sorted(PAIRS.keys() - {"Solar", "s1", "Granite"}))
def test_what_the_template_opened_is_closed_by_the_text(kind: str) -> None:
    _, closing = PAIRS[kind]
    if kind.startswith("Granite"):
        return  # a sentence opens it, never a template
    text = f"{THOUGHT}\n{closing}\n\nB"
    for opened in (False, True):
        found = read_answer(text, opened=opened)
        assert (found.text, found.unfinished) == ("B", False)
    assert starts_in_thought(text)
    assert starts_in_thought(f"{PAIRS[kind][0]}{text}") is False


def test_without_any_tag_nothing_is_known() -> None:
    assert starts_in_thought("B") is None
    assert read_answer("Let me see. A or B").text == "Let me see. A or B"


@pytest.mark.parametrize(
    ("reason", "unfinished"),
    [("length", True), ("repeat_limit", True), ("max_tokens", True), (None, True), ("stop", False)],
)
def test_an_opened_thought_without_any_tag_is_unfinished_unless_it_ended_by_itself(
    reason: str | None, unfinished: bool
) -> None:
    found = read_answer("So the answer is B", finish_reason=reason, opened=True)
    assert found.unfinished is unfinished
    assert found.text == ("" if unfinished else "So the answer is B")
    assert not read_answer("So the answer is B", finish_reason=reason).unfinished


# (text, what is the answer; None: no answer, it ends inside a thought)
LABELLED: list[tuple[str, str | None]] = [
    # several thoughts, and thoughts within thoughts
    ("<think>a</think>B", "B"),
    ("<think>a <think>b</think> c</think>B", "B"),
    ("<think>a</think>no<think>b</think>B", "B"),
    ("<think>a</think>B<think>b</think>", "B"),
    ("<think>a</think>B<think>b", None),
    ("<think>a <think>b</think> c", "c"),
    ("<thinking>a<reflection>A</reflection>b</thinking>B", "B"),
    ("<reasoning>x<think>y</think>z</reasoning>B", "B"),
    ("<think>a</think></think>B", "B"),
    ("<think>a</think>B</think>", "B"),
    ("a</think>B</think>", "B"),
    ("a</think>b</think>B", "B"),
    ("<think></think>B", "B"),
    ("<think>\n\n</think>\n\nB", "B"),
    ("<think/>B", "<think/>B"),
    # what stands before
    ("Let me think. <think>A?</think> B", "B"),
    ("B <think>because</think>", "B"),
    ("B\n<think>Should it be A", None),
    # nothing follows
    ("<think>a</think>", ""),
    ("a</think>", ""),
    ("<think>a</think>\n<|im_end|>", ""),
    # an element for the answer
    ("<reasoning>A?</reasoning><answer>B</answer>", "B"),
    ("<reasoning>A?</reasoning>\n<answer>\nB\n</answer>\n", "B"),
    ("<reasoning>A?</reasoning><answer>B", "B"),
    ("<think>A?</think><ANSWER>B</ANSWER> I am sure it is not A", "B"),
    ("<answer>A</answer> Wait. <answer>B</answer>", "B"),
    ("I put it in <answer> tags.\n<answer>B</answer>", "B"),
    ("<answer>B</answer> as asked, in `<answer>` tags", "B"),
    ("<final_answer>B</final_answer>", "B"),
    ("<answer></answer>B", "<answer></answer>B"),
    ("<reasoning>A? <answer>B</answer>", "B"),
    ("<reasoning>A? <answer>A</answer> or", None),
    ("<|START_THINKING|>A<|END_THINKING|><answer>B</answer>", "B"),
    # a tag that is only named
    ("The tag `<think>` opens a thought. B", "The tag `<think>` opens a thought. B"),
    ('"<think>" opens a thought. B', '"<think>" opens a thought. B'),
    ("“<think>” opens a thought. B", "“<think>” opens a thought. B"),
    ("'<think>' opens a thought. B", "'<think>' opens a thought. B"),
    ("Use `a <think> b` here. B", "Use `a <think> b` here. B"),
    ("```\n<think>\n```\nB", "```\n<think>\n```\nB"),
    ('[{"text": "the <think> tag", "type": "X"}]', '[{"text": "the <think> tag", "type": "X"}]'),
    ('[{"text": "</think>", "type": "X"}]', '[{"text": "</think>", "type": "X"}]'),
    ('[{"text": "a </think> b", "type": "X"}]', '[{"text": "a </think> b", "type": "X"}]'),
    ("<think>The tag `</think>` ends it. A", None),
    ('<think>The tag "</think>" ends it. A', None),
    ('<think>The tag "</think>" ends it.</think>B', "B"),
    ('<think>A 5" pipe</think>"B"', '"B"'),
    ("<think>It said <think> once.</think>B", "B"),
    # channels
    ("<|channel|>final<|message|>B", "B"),
    ("<|channel|>analysis<|message|>A<|end|><|start|>assistant", None),
    ("<|channel|>commentary<|message|>A<|end|>", None),
    ("<|channel|>analysis", None),
    ("A?<|end|><|start|>assistant<|channel|>final<|message|>B<|return|>", "B"),
    ("<|channel|>final <|constrain|>json<|message|>[]<|return|>", "[]"),
    ("Let us see A.assistantfinalB", "B"),
    # no thought at all
    ("B", "B"),
    ("", ""),
    (" analysis of A: B", " analysis of A: B"),
    ("I think B", "I think B"),
    ("x < y, so [B]", "x < y, so [B]"),
    ("x < thought and y > 2: B", "x < thought and y > 2: B"),
    ("<b>B</b>", "<b>B</b>"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), LABELLED)
def test_answers_by_hand(text: str, answer: str | None) -> None:
    found = read_answer(text)
    assert found.unfinished is (answer is None)
    assert found.text == (answer or "")


@pytest.mark.parametrize(
    "text",
    ["<think>a <think>b</think> A", "<think>A <answer>B</answer>", "<think>A</think>B<think>"],
)
def test_of_a_text_that_a_limit_cut_nothing_open_is_guessed_closed(text: str) -> None:
    assert read_answer(text, finish_reason="length").unfinished


def test_thoughts_are_kept_apart_from_the_answer() -> None:
    found = read_answer("<think> one </think>x<think>two</think>B")
    assert found == Answer("B", "one\ntwo", output="<think> one </think>x<think>two</think>B")


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("<ponder>", "</ponder>"), ("((", "))"), ("## Denken", "## Antwort"), ("<|a|>", "<|b|>")],
)
def test_a_study_may_name_tags_of_its_own(opening: str, closing: str) -> None:
    tags = [(opening, closing)]
    assert read_answer(f"{opening} A {closing} B", tags=tags).text == "B"
    assert read_answer(f"{opening} A", tags=tags).unfinished
    assert read_answer(f"A {closing} B", tags=tags).text == "B"
    assert read_answer("<think>A</think>B", tags=tags).text == "B"
    assert starts_in_thought(f"A {closing} B", tags)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<ponder>A or B</ponder>B", "<ponder>"),
        ("<my_thoughts>A</my_thoughts>B", "<my_thoughts>"),
        ("<|deep_reasoning|>A<|x|>B", "<|deep_reasoning|>"),
        ("[REFLECTION]A[/REFLECTION]B", "[REFLECTION]"),
        ("A</scratchpad>B", "</scratchpad>"),
        ("<Überlegung>A</Überlegung>B", "<Überlegung>"),
        ("<思考>A</思考>B", "<思考>"),
        ("<rationale>A", "<rationale>"),
        (f"<zap>{'It may be A. ' * 10}</zap>B", "<zap>"),
        ("&lt;think&gt;It may be A&lt;/think&gt;B", "&lt;think&gt;"),
        ("A&lt;/reasoning&gt;B", "&lt;/reasoning&gt;"),
        ("\uff1cthink\uff1eIt may be A\uff1c/think\uff1eB", "\uff1cthink\uff1e"),
        ("[reasoning]A[/reasoning]B", "[reasoning]"),
        ("{thinking}A{/thinking}B", "{thinking}"),
        ("```thinking\nA\n```\nB", "```thinking"),
        # nothing strange
        ("The [reasoning] is plain. B", None),
        ("```json\n[]\n```", None),
        ("{B}", None),
        ("a &lt; b, so B", None),
        ("<b>bold</b> B", None),
        ("<PER>Ada</PER> saw <LOC>Rome</LOC>", None),
        (f"<output>{'It may be A. ' * 10}</output>B", None),
        ("Use `<ponder>` there. B", None),
        ('"<ponder>" is a word. B', None),
        ("<think>I <ponder>A</ponder></think>B", None),
        ("x < reason and y > 2", None),
        ('["rethinking"]', None),
        ("B<|im_end|>", None),
        ("</s>", None),
    ],
)
def test_what_looks_like_a_tag_of_a_thought_is_named(text: str, tag: str | None) -> None:
    found = read_answer(text)
    assert found.unknown_tag == tag
    if tag is not None:
        assert found.text == text


@pytest.mark.parametrize(
    ("opening", "strange"),
    [
        *((f"<{name}>", True) for name in ("work", "plan", "draft", "notes", "explanation", "zap")),
        *((f"<{name}>", False) for name in ("answer", "json", "PER", "b", "p", "pre")),
    ],
)
def test_an_element_that_a_limit_cut_may_be_a_thought(opening: str, strange: bool) -> None:
    text = f"{opening}{'It may be A. ' * 10}"
    cut = read_answer(text, finish_reason="length").unknown_tag
    assert cut == (opening if strange else None)
    assert read_answer(text, finish_reason="stop").unknown_tag is None
    assert read_answer(f"{opening}It", finish_reason="length").unknown_tag is None


def test_a_thought_apart_is_part_of_the_answer_that_was_not_given() -> None:
    cut = with_thought(read_answer("", finish_reason="length"), "A or", "length")
    assert (cut.unfinished, cut.thought) == (True, "A or")
    whole = with_thought(read_answer("B", finish_reason="stop"), "A or B", "stop")
    assert (whole.text, whole.unfinished, whole.thought) == ("B", False, "A or B")
    assert with_thought(read_answer("B"), None, "length") == read_answer("B")


@pytest.mark.parametrize(
    ("reason", "cut"),
    [("length", True), ("LENGTH", True), ("repeat_limit", True), ("MAX_TOKENS", True),
     ("stop", False), ("eos", False), (None, None)],
)  # fmt: skip
def test_finish_reasons(reason: str | None, cut: bool | None) -> None:
    assert was_cut(reason) is cut


@pytest.mark.parametrize(
    ("prompt", "tag"),
    [
        ("<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\n", "<think>"),
        ("...[/INST][THINK]", "[THINK]"),
        ("<|end|><|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|CHATBOT_TOKEN|><|START_THINKING|>", "<|START_THINKING|>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", None),
        ("What does <think> mean?<|im_start|>assistant\n", None),
        ("<|start|>assistant<|channel|>final<|message|>", None),
        ("Answer:", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_prompt_that_opens_a_thought(prompt: str, tag: str | None) -> None:
    assert opening_tag_at_end(prompt) == tag


@pytest.mark.parametrize(
    "piece",
    ["<", "[", "◁", "<think>", "</think>", "<think></think>", "`<think>`", '"<think>', "“<think>",
     "``` <think> ", "\n<think>", "<think ", "<answer>", "<answer>B</answer>", "<ponder>", "<a ",
     "<|channel|>", "<|channel|>analysis<|message|>", "analysisA", "assistantfinal", "<|im_end|>",
     "Here is my thought process:", " ", "word ", "<" + 40 * "a", "'</think>'"],
)  # fmt: skip
@pytest.mark.parametrize("size", [60_000, *repetitions(300_000)])
def test_very_many_characters_are_read_to_their_end(piece: str, size: int) -> None:
    # a reader whose time grows with the square of the text would not come back
    text = (piece * (size // len(piece) + 1))[:size]
    with within_a_second(f"{size} characters"):
        assert read_answer(text).output == text
    with within_a_second(f"{size} characters, begun in a thought"):
        assert read_answer(text, finish_reason="length", opened=True).output == text


TEXTS = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<reasoning>", "</reasoning>", "[THINK]", "[/THINK]", "<answer>",
         "</answer>", "B", "A", " ", "\n", "`", '"', "```", "<|channel|>final<|message|>", "<tk>"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(TEXTS, st.sampled_from([None, "stop", "length"]), st.booleans())
def test_property_any_text_is_read(text: str, reason: str | None, opened: bool) -> None:
    found = read_answer(text, finish_reason=reason, opened=opened)
    assert found.output == text
    if found.unfinished:
        assert not found.text
    if "<" not in text and "[" not in text and not opened:
        assert found.text == text


@given(st.text(st.characters(exclude_characters="<[◁【`\"'“”"), max_size=60), st.text(max_size=20))
def test_property_a_thought_never_reaches_the_answer(thought: str, rest: str) -> None:
    cut = read_answer(f"<think>{thought}", finish_reason="length")
    assert (cut.text, cut.unfinished) == ("", True)
    answer = rest.replace("<", "").replace("[", "").replace("◁", "").strip()
    whole = read_answer(f"<think>{thought}\n</think>\n{answer}")
    assert whole.text == answer or whole.is_empty


@pytest.mark.parametrize("end", ["", "</think>", "B"])
def test_thoughts_of_two_kinds_without_end_take_linear_time(end: str) -> None:
    with within_a_second():
        read_answer("<think>" * 50_000 + "</reasoning>" * 50_000 + end)
    with within_a_second():
        read_answer("<think><thought>" * 25_000 + "</reasoning></think>" * 25_000 + end)
