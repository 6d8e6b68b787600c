"""Counts of prompt tokens tell which arms read other prompts, and such an arm is not shipped.

Expected values follow from the counts as they are written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from analysis.fabricated import make_response, make_study, quiz
from quantrial.analysis import score_task
from quantrial.decision import decide_from
from quantrial.tasks import make_task
from summaries import summarise

N = 400
Count = Callable[[int], int | None]


def plain(i: int) -> int:
    """Count the tokens of the prompt of item i: 100 to 159, no two neighbours alike."""
    return 100 + 7 * i % 60


def summary_of(
    *,
    n: int = N,
    reference: str = "f16",
    cached: Mapping[str, Count] | None = None,
    again: Sequence[tuple[int, int]] = (),
    margin: float = 0.05,
    length: Callable[[int], int] = lambda i: 0,
    **counts: Count,
) -> dict[str, Any]:
    """Analyse n questions that all arms answer rightly; `counts` gives each arm's prompt tokens.

    `length`: how many words more a question has.
    """
    arms = list(dict.fromkeys(["f16", "q8_0", "q4_0", *counts]))
    study = make_study(
        arms={
            arm: {"engine": "scripted", "model": arm, "options": {"bytes": size}}
            for arm, size in zip(arms, (400, 200, 100), strict=False)
        },
        reference=reference,
        margin=margin,
    )
    items = [
        replace(one, content={**one.content, "question": f"{i}?{' word' * length(i)}"})
        for i, one in enumerate(quiz(n))
    ]
    responses = {
        arm: [
            make_response(
                item,
                arm,
                item.gold,
                prompt_tokens=counts.get(arm, plain)(i),
                cached_tokens=cached[arm](i) if cached and arm in cached else None,
            )
            for i, item in enumerate(items)
        ]
        for arm in arms
    }
    responses[reference] += [
        make_response(items[i], reference, items[i].gold, replicate=1, prompt_tokens=tokens)
        for i, tokens in again
    ]
    task = make_task("quiz", study.tasks["quiz"])
    scored = score_task(task, items, responses, reference=reference)
    # the sizes decide which arm is cheaper; other hashes tell that they are other models
    records = {
        arm: {"sha256": arm, "bytes_on_disk": size}
        for arm, size in zip(arms, (400, 200, 100), strict=False)
    }
    return summarise(study, {"quiz": scored}, arms=records, methods="calibrated")


def check(summary: Mapping[str, Any]) -> tuple[str, str]:
    one = next(one for one in summary["assay"] if one["id"] == "prompts")
    return one["status"], one["text"]


def flow(summary: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = summary["tasks"]["quiz"]["flow"]
    return found


def compared(summary: Mapping[str, Any], arm: str) -> int | None:
    """Return on how many items an arm is compared with the reference."""
    contrasts = summary["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
    return next(
        (c["n"] for c in contrasts if (c["reference"], c["candidate"]) == ("f16", arm)), None
    )


def sentences(decision: Mapping[str, Any], arm: str) -> list[str]:
    """List what is advised of an arm: to ship it, to pick it or to avoid it."""
    parts = [*decision["pick_when"], *decision["avoid_for"], decision["default"]]
    return [one["text"] for one in parts if one["arm"] == arm]


def shipped(summary: Mapping[str, Any]) -> str:
    return str(decide_from(summary)["default"]["arm"])


def assert_not_recommended(summary: Mapping[str, Any], arm: str) -> None:
    """Hold that an arm is picked nowhere, and that this is said first among the cautions."""
    decision = decide_from(summary)
    assert sentences(decision, arm) == []
    own = decision["picker"]["arms"][arm]
    assert own["other_prompts"] is True
    row = decision["picker"]["tasks"]["quiz"]["arms"][arm]
    assert row["holds"] is False
    assert row["bound"] is None
    caution = next(one for one in decision["cautions"] if "read different prompts" in one["text"])
    assert caution["kind"] == "assay", "such cautions are what a report says first"
    assert arm in caution["text"]
    from quantrial.decision import Constraints

    lax = decide_from(summary, Constraints(tolerate=0.9))
    assert lax["constrained"]["pick"] != arm
    assert all(one["pick"] != arm for one in lax["sensitivity"]["changes"])


def test_by_hand_equal_counts_pass_and_the_cheapest_arm_is_shipped() -> None:
    found = summary_of()
    assert check(found) == (
        "pass",
        "On every item all arms were sent the same bytes and read as many tokens.",
    )
    assert shipped(found) == "q4_0"


@pytest.mark.parametrize("offset", [229, 1, -37])
def test_by_hand_a_constant_offset_is_another_template_and_such_an_arm_is_left_out(
    offset: int,
) -> None:
    found = summary_of(q4_0=lambda i: plain(i) + offset)
    status, text = check(found)
    assert status == "fail"
    more = "more" if offset > 0 else "fewer"
    noun = "token" if abs(offset) == 1 else "tokens"
    assert f"q4_0 reads {abs(offset)} {noun} {more} than f16 on 400 of 400 items of quiz" in text
    assert "Another chat template or system prompt" in text
    assert flow(found)["unlike_tokens"] == N
    (one,) = flow(found)["token_mismatches"]
    assert (one["arm"], one["kind"], one["items"], one["least"]) == ("q4_0", "offset", N, offset)
    assert compared(found, "q4_0") is None, "no verdict is drawn from other prompts"
    assert compared(found, "q8_0") == N
    assert_not_recommended(found, "q4_0")
    assert shipped(found) == "q8_0", "the arm that was shown the same is not held up"


@pytest.mark.parametrize(
    ("window", "cut"),
    [
        (128, lambda tokens: min(tokens, 128)),
        # what does not fit loses shots: below the window, but not at it
        (128, lambda tokens: tokens if tokens <= 128 else tokens - 40 - tokens % 5),
        # an older server cuts to half its window
        (66, lambda tokens: min(tokens, 66)),
        (64, lambda tokens: min(tokens, 64 - tokens % 3)),
    ],
)
def test_by_hand_a_window_is_named_with_its_edge(window: int, cut: Callable[[int], int]) -> None:
    found = summary_of(q4_0=lambda i: cut(plain(i)))
    edge = max(cut(plain(i)) for i in range(N))
    long = sum(cut(plain(i)) != plain(i) for i in range(N))
    status, text = check(found)
    assert status == "fail"
    assert edge <= window
    assert f"q4_0 never reads more than {edge} tokens on quiz" in text
    assert f"on {long} of 400 items. A smaller window cuts longer prompts." in text
    (one,) = flow(found)["token_mismatches"]
    assert (one["kind"], one["limited"], one["ceiling"]) == ("window", "q4_0", edge)
    assert compared(found, "q4_0") in (N - long, None)
    assert_not_recommended(found, "q4_0")


def test_by_hand_a_window_of_the_reference_is_the_references() -> None:
    found = summary_of(f16=lambda i: min(plain(i), 128))
    status, text = check(found)
    assert status == "fail"
    assert "f16 never reads more than 128 tokens on quiz, and q8_0 and q4_0 read more" in text
    assert shipped(found) == "f16"
    decision = decide_from(found)
    assert decision["default"]["conclusive"] is False
    assert "Every cheaper arm was shown other prompts than f16." in decision["default"]["text"]
    assert decision["pick_when"] == []


def test_by_hand_an_offset_on_some_items_is_said_as_it_is() -> None:
    some = set(range(0, N, 4))
    found = summary_of(q4_0=lambda i: plain(i) + (12 if i in some else 0))
    status, text = check(found)
    assert status == "fail"
    assert "q4_0 reads 12 tokens more than f16 on 100 of 400 items of quiz" in text
    assert "Another chat template" not in text
    assert "window" not in text
    assert compared(found, "q4_0") == N - 100
    assert_not_recommended(found, "q4_0")


def test_by_hand_differences_of_all_sizes_are_said_with_their_range() -> None:
    found = summary_of(q4_0=lambda i: plain(i) + (i % 5 - 2))
    status, text = check(found)
    assert status == "fail"
    differing = sum(i % 5 != 2 for i in range(N))
    assert (
        f"q4_0 reads up to 2 tokens fewer and 2 more than f16 on {differing} of 400 items" in text
    )


def test_by_hand_a_single_differing_item_is_left_out_and_said() -> None:
    found = summary_of(q4_0=lambda i: plain(i) + (3 if i == 17 else 0))
    status, text = check(found)
    assert status == "warn", "one item of 400 cannot make a loss of 5 points"
    assert "q4_0 reads 3 tokens more than f16 on 1 of 400 items of quiz" in text
    assert flow(found)["unlike_tokens"] == 1
    assert compared(found, "q4_0") == N - 1
    assert any("read different prompts" in one["text"] for one in decide_from(found)["cautions"])
    # of 20 items one is as much as the margin
    few = summary_of(n=20, q4_0=lambda i: plain(i) + (3 if i == 17 else 0))
    assert check(few)[0] == "fail"
    assert_not_recommended(few, "q4_0")


def test_by_hand_answers_left_out_are_held_against_the_arm_like_missing_ones() -> None:
    found = summary_of(q4_0=lambda i: plain(i) + (3 if i in (17, 18) else 0))
    contrast = next(
        c
        for c in found["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
        if c["candidate"] == "q4_0" and c["reference"] == "f16"
    )
    assert contrast["worst_case"]["missing_candidate"] == 2
    assert contrast["worst_case"]["bound"] == pytest.approx(-2 / N)


def test_by_hand_what_came_from_a_cache_is_no_difference() -> None:
    """One server counts all of a prompt, another what it read anew, and says how much it kept."""
    kept = {0: 0} | {i: 60 + i % 30 for i in range(1, N)}
    found = summary_of(q4_0=lambda i: plain(i) - kept[i], cached={"q4_0": lambda i: kept[i]})
    assert check(found)[0] == "pass"
    assert shipped(found) == "q4_0"
    # both count so, and their caches held other parts
    less = {i: 20 + i % 7 for i in range(N)}
    found = summary_of(
        q4_0=lambda i: plain(i) - kept[i],
        f16=lambda i: plain(i) - less[i],
        q8_0=lambda i: plain(i) - less[i],
        cached={
            "q4_0": lambda i: kept[i],
            "f16": lambda i: less[i],
            "q8_0": lambda i: less[i],
        },
    )
    assert check(found)[0] == "pass"
    # a count that holds the cached part too, as OpenAI's API has it
    found = summary_of(cached={"q4_0": lambda i: kept[i], "f16": lambda i: less[i]})
    assert check(found)[0] == "pass"


def test_by_hand_a_cache_explains_nothing_that_it_does_not_add_up_to() -> None:
    found = summary_of(q4_0=lambda i: plain(i) - 50, cached={"q4_0": lambda i: 10})
    status, text = check(found)
    assert status == "fail"
    assert "q4_0 reads 50 tokens fewer than f16 on 400 of 400 items" in text


def test_by_hand_counts_that_contradict_themselves_are_not_held_against_others() -> None:
    """A server that counts what it read anew, and does not say so: one prompt has two counts."""
    found = summary_of(
        f16=lambda i: plain(i) - (40 if i % 3 else 0), again=[(5, plain(5) - 90), (6, plain(6))]
    )
    status, text = check(found)
    assert status == "warn"
    low, high = plain(5) - 90, plain(5) - 40
    assert f"f16 counts the same prompt as {low} and as {high} tokens" in text
    assert compared(found, "q4_0") == N
    assert any("counts the same prompt" in one["text"] for one in decide_from(found)["cautions"])
    # equal counts the second time are no contradiction
    assert check(summary_of(again=[(5, plain(5))]))[0] == "pass"


@pytest.mark.parametrize("none", [None, 0])
def test_by_hand_counts_that_are_not_there_are_not_known(none: int | None) -> None:
    """A count of 0 is none: no prompt is empty."""
    found = summary_of(q4_0=lambda i: none)
    status, text = check(found)
    assert status == "unknown"
    assert "How many tokens" in text
    assert flow(found)["uncounted_items"] == N
    assert compared(found, "q4_0") == N


def test_by_hand_where_the_reference_counts_nothing_neither_of_two_that_differ_is_right() -> None:
    found = summary_of(f16=lambda i: None, q4_0=lambda i: plain(i) + 5)
    assert check(found)[0] == "fail"
    assert check(found)[1].count("5 tokens") == 1, "a difference is told from one side"
    assert_not_recommended(found, "q4_0")
    assert_not_recommended(found, "q8_0")
    assert check(summary_of(f16=lambda i: None))[0] == "unknown"


def test_by_hand_the_reference_need_not_be_the_first_arm() -> None:
    found = summary_of(reference="q8_0", q4_0=lambda i: plain(i) + 5)
    (one,) = flow(found)["token_mismatches"]
    assert (one["arm"], one["against"]) == ("q4_0", "q8_0")


def test_by_hand_two_items_show_no_pattern() -> None:
    found = summary_of(n=2, q4_0=lambda i: plain(i) + 9)
    (one,) = flow(found)["token_mismatches"]
    assert one["kind"] == "other"
    assert check(found)[0] == "fail"


def test_by_hand_a_window_that_cuts_a_few_prompts_is_no_small_matter() -> None:
    """Two of 400 answers could not make the loss; the arm is run with too small a window."""
    longest = {40: 900, 300: 1100}

    def whole(i: int) -> int:
        return longest.get(i, plain(i))

    found = summary_of(f16=whole, q8_0=whole, q4_0=lambda i: min(whole(i), 512))
    status, text = check(found)
    assert status == "fail"
    assert "q4_0 never reads more than 512 tokens on quiz, and f16 reads more on 2 of 400" in text
    contrast = next(
        c
        for c in found["tasks"]["quiz"]["endpoints"]["accuracy"]["equivalence"]
        if (c["reference"], c["candidate"]) == ("f16", "q4_0")
    )
    assert contrast["non_inferior"], "what was compared would do"
    assert_not_recommended(found, "q4_0")
    assert shipped(found) == "q8_0"


# 100 tokens stand around each question, which has up to 399 words of one token
def whole(i: int) -> int:
    return 100 + i


@pytest.mark.parametrize("window", [256, 200])
def test_a_window_that_all_arms_have_shows_where_counts_do_not_grow(window: int) -> None:
    def cut(i: int) -> int:
        return min(whole(i), window)

    found = summary_of(length=lambda i: i, f16=cut, q8_0=cut, q4_0=cut)
    status, text = check(found)
    cases = N - (window - 100)
    assert f"f16, q8_0 and q4_0 read {window} tokens on {cases} of {N} items of quiz" in text
    assert status == "fail"
    caution = next(
        one
        for one in decide_from(found)["cautions"]
        if "The window cuts longer prompts" in one["text"]
    )
    assert caution["kind"] == "assay"


@pytest.mark.parametrize("count", [1, 235])
def test_counts_that_are_one_number_throughout_tell_nothing(count: int) -> None:
    def flat(i: int) -> int:
        return count

    status, text = check(summary_of(length=lambda i: i, f16=flat, q8_0=flat, q4_0=flat))
    assert status == "warn"
    assert "Either every prompt is cut, or this is not a count of its tokens." in text


def test_counts_that_grow_or_texts_that_are_alike_are_no_window() -> None:
    assert check(summary_of(length=lambda i: i, f16=whole, q8_0=whole, q4_0=whole))[0] == "pass"

    def same(i: int) -> int:
        return 120

    def two(i: int) -> int:
        return min(whole(i), 498)

    assert check(summary_of(length=lambda i: i % 9, f16=same, q8_0=same, q4_0=same))[0] == "pass"
    assert check(summary_of(length=lambda i: i, f16=two, q8_0=two, q4_0=two))[0] == "pass"


def test_a_window_of_one_arm_is_told_once() -> None:
    status, text = check(
        summary_of(length=lambda i: i, f16=whole, q8_0=whole, q4_0=lambda i: min(whole(i), 256))
    )
    assert status == "fail"
    assert text.count("256") == 1
