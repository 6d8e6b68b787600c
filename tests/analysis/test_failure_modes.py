from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from statsmodels.stats.contingency_tables import SquareTable, mcnemar

from analysis.fabricated import (
    FAULT,
    NAMES,
    QUIZ,
    make_response,
    make_study,
    quiz,
    said,
    scored,
    sentences,
    summary_of,
)
from quantrial.analysis import TaskOutcomes, score_task
from quantrial.analysis.calibrated import Calibrated
from quantrial.analysis.failure_counts import (
    length_panel,
    spurious_panel,
    spurious_per_sentence,
)
from quantrial.analysis.failure_modes import (
    accuracy_by_letter,
    failure_modes,
    failure_panels,
    flips,
    flips_by,
    letter_shift,
    right,
)
from quantrial.analysis.speed import speed
from quantrial.errors import DataError, StatisticsWarning
from quantrial.tasks import make_task

ADA, ROME, BO = ("Ada", "PER"), ("Rome", "LOC"), ("Bo", "PER")


def test_choice_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "C", "D", "A", "B"],
        "new": ["A", "A", "no idea", "A", FAULT, ""],
    }
    task = summary_of(make_study(), {"quiz": (quiz(6), outputs)})["tasks"]["quiz"]
    modes = task["failure_modes"]["new"]
    assert modes.pop("texts")["empty"] == {"n": 5, "count": 1, "rate": 1 / 5}
    assert modes.pop("by_letter")["A"] == {"n": 1, "correct": 1}
    assert modes == {
        "n": 5,
        "unparsed": 2,
        "unparsed_rate": 2 / 5,
        "letters": {"A": 3},
        "gold_letters": {"A": 1, "B": 2, "C": 1, "D": 1},
        "truncated": 0,
    }
    assert task["failure_modes"]["ref"]["unparsed_rate"] == 0
    assert task["failure_modes"]["ref"]["letters"] == {"A": 2, "B": 2, "C": 1, "D": 1}


def test_spans_by_hand() -> None:
    study = make_study(tasks={"names": NAMES})
    items = sentences([[ADA, ROME], [], [], [], [BO]])
    outputs = {
        "ref": [said(ADA, ROME), "[]", "[]", "[]", said(BO)],
        # one missed, one invented, an entity-free one malformed, a fault, a wrong type
        "new": [said(ADA), said(BO), "none here", FAULT, said(("Bo", "ORG"))],
    }
    modes = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]["failure_modes"]
    new = modes["new"]
    assert {key: new[key] for key in ("n", "tp", "fp", "fn", "parsed", "parse_rate")} == {
        "n": 4,
        "tp": 1,
        "fp": 2,
        "fn": 2,
        "parsed": 3,
        "parse_rate": 3 / 4,
    }
    assert (new["precision"], new["recall"]) == (1 / 3, 1 / 3)
    free = new["entity_free"]
    assert (free["n"], free["correct"], free["rate"]) == (2, 0, 0)
    # Wilson without a success: 0 to z^2 / (n + z^2)
    z2 = 1.959963984540054**2
    assert free["ci"] == pytest.approx([0, z2 / (2 + z2)], abs=1e-12)
    assert (modes["ref"]["entity_free"]["n"], modes["ref"]["entity_free"]["rate"]) == (3, 1)
    assert (modes["ref"]["precision"], modes["ref"]["recall"]) == (1, 1)


def test_truncated_answers_are_counted() -> None:
    study, items = make_study(), quiz(3)
    given = [
        make_response(items[0], "new", "A", finish_reason="length"),
        make_response(items[1], "new", "B"),
        make_response(items[2], "new", FAULT, finish_reason="length"),
    ]
    found = score_task(make_task("quiz", study.tasks["quiz"]), items, {"new": given})
    assert failure_modes(found, "new", alpha=0.05)["truncated"] == 1


def test_flips_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "A", "A", "C", "D", "A"],
        # still right in other words, broken, mended, wrong otherwise, same wrong text, fault, right
        "new": ["(A)", "C", "C", "B", "C", FAULT, "C"],
    }
    task = summary_of(make_study(), {"quiz": (quiz(7), outputs)})["tasks"]["quiz"]
    assert task["flips"] == [
        {
            "reference": "ref",
            "candidate": "new",
            "harmful": 1,
            "beneficial": 2,
            "churn": 2,
            "n": 6,
            "items": {"harmful": ["i1"], "beneficial": ["i2", "i6"]},
        }
    ]


def test_flips_of_spans_ask_for_the_whole_item() -> None:
    study = make_study(tasks={"names": NAMES})
    items = sentences([[ADA, ROME], [ADA, ROME], [ADA]])
    outputs = {
        # partly right is not right: no flip from half to half, nor from half to nothing
        "ref": [said(ADA, ROME), said(ADA), said(ADA)],
        "new": [said(ADA), said(ROME), said(("ada ", "per"))],
    }
    found = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]["flips"][0]
    assert (found["harmful"], found["beneficial"]) == (1, 0)
    assert found["churn"] == 2  # half for another half, and the same entity written otherwise


def test_right_is_unknown_without_an_answer() -> None:
    study, items = make_study(tasks={"quiz": QUIZ}), quiz(2)
    task = make_task("quiz", study.tasks["quiz"])
    found = score_task(task, items, {"new": [make_response(items[0], "new", "B")]})
    assert [right(found, "new", i) for i in range(2)] == [False, None]


def timed(tokens: int | None, decode: float | None, **timing: float | None) -> Any:
    values = {"load": None, "prompt": None, "decode": decode, "wall": None, **timing}
    return make_response(quiz(1)[0], "new", "A", completion_tokens=tokens, timing=values)


def test_speed_pools_tokens_over_seconds_by_hand() -> None:
    found = speed([timed(10, 1.0), None, timed(90, 3.0), timed(None, 5.0), timed(7, None)])
    assert found["tokens_per_second"] == 100 / 4
    assert found["mean_tokens_per_second"] == (10 / 1 + 90 / 3) / 2
    assert found["n"] == 4
    assert found["completion_tokens"] == 107
    assert found["prompt_tokens_per_second"] is None
    assert found["seconds_per_answer"] is None


def test_speed_of_reading_and_waiting_by_hand() -> None:
    given = [timed(1, 1.0, prompt=p, wall=w) for p, w in ((0.5, 1.0), (2.0, 2.0), (None, 9.0))]
    found = speed(given)
    assert found["prompt_tokens"] == 150
    assert found["prompt_tokens_per_second"] == 100 / 2.5  # 50 tokens each, two timed
    assert found["seconds_per_answer"] == 4
    assert found["median_seconds_per_answer"] == 2
    # 40 of the first prompt's 50 tokens came from a cache: 10 and 50 were read
    given[0] = dataclasses.replace(given[0], cached_tokens=40)
    assert speed(given)["prompt_tokens_per_second"] == 60 / 2.5


@pytest.mark.parametrize("responses", [[], [None], [timed(0, 0.0)], [timed(5, 0.0)]])
def test_speed_is_unknown_rather_than_infinite(responses: list[Any]) -> None:
    found = speed(responses)
    assert found["tokens_per_second"] is None
    assert found["mean_tokens_per_second"] is None


def quizzed(outputs: Mapping[str, Sequence[Any]], **keys: Sequence[str]) -> TaskOutcomes:
    items = quiz(len(outputs["ref"]), task="quiz", options=4, **keys)
    return scored(make_study(), {"quiz": (items, outputs)})["quiz"]


def named(golds: Sequence[Any], outputs: dict[str, Sequence[Any]]) -> TaskOutcomes:
    study = make_study(tasks={"names": NAMES})
    return scored(study, {"names": (sentences(golds), outputs)})["names"]


def row(harmful: list[str], beneficial: list[str], **counts: int) -> dict[str, Any]:
    return {
        "harmful": len(harmful),
        "beneficial": len(beneficial),
        "items": {"harmful": harmful, "beneficial": beneficial},
        **counts,
    }


def test_flips_by_a_key_by_hand() -> None:
    outputs = {
        "ref": ["A", "B", "A", "A", "C", "D", "A"],
        "new": ["(A)", "C", "C", "B", "C", FAULT, "C"],
    }
    subjects = ["b", "a", "a", "b", "b", "c", "b"]
    outcomes = quizzed(outputs, subject=subjects)
    found = flips_by(outcomes, "ref", "new", "subject")
    assert found == {
        "a": row(["i1"], ["i2"], churn=0, n=2),
        "b": row([], ["i6"], churn=2, n=4),
        "c": row([], [], churn=0, n=0),
    }
    assert list(found) == ["a", "b", "c"]
    with pytest.raises(DataError, match="'genre'"):
        flips_by(outcomes, "ref", "new", "genre")


LETTERED = st.sampled_from(["A", "B", "C", "D", "none", FAULT, None])


@given(st.lists(st.tuples(LETTERED, LETTERED, st.sampled_from("xyz")), min_size=1, max_size=12))
def test_flips_by_a_key_sum_to_the_flips_property(rows: list[tuple[Any, Any, str]]) -> None:
    ref, new, subjects = zip(*rows, strict=True)
    outcomes = quizzed({"ref": ref, "new": new}, subject=subjects)
    parts, whole = flips_by(outcomes, "ref", "new", "subject"), flips(outcomes, "ref", "new")
    for name in ("harmful", "beneficial", "churn", "n"):
        assert sum(row[name] for row in parts.values()) == whole[name]


def test_accuracy_by_letter_by_hand() -> None:
    outcomes = quizzed(
        {"ref": ["B", "B", "C", "D", "A", "B"], "new": ["A", "A", "", FAULT, "A", "B"]}
    )
    assert accuracy_by_letter(outcomes, "new") == {
        "A": {"n": 2, "correct": 2},
        "B": {"n": 2, "correct": 1},
        "C": {"n": 1, "correct": 0},
    }


def shifted(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    old, new = zip(*pairs, strict=True)
    return letter_shift(quizzed({"ref": old, "new": new}), "ref", "new")


def test_letter_shift_by_hand() -> None:
    # three letters on a ring would shift nothing; here C goes to A four times and back once
    found = shifted([("C", "A")] * 4 + [("A", "C"), ("B", "B"), ("D", "oh"), ("A", "A")])
    assert found == {
        "reference": "ref",
        "candidate": "new",
        "statistic": pytest.approx((4 - 1) ** 2 / 5),
        "p_value": pytest.approx(2 * (1 + 5) / 2**5),
        "method": "stuart-maxwell-exact",
        "n": 7,
        "changed": 5,
        "df": 1,
        "shift": {"A": 3, "B": 0, "C": -3},
    }
    ring = shifted([("A", "B"), ("B", "C"), ("C", "A")])
    assert (ring["statistic"], ring["p_value"], ring["df"]) == (0, 1, 2)
    assert ring["shift"] == {"A": 0, "B": 0, "C": 0}


def test_letter_shift_of_letters_that_never_meet_by_hand() -> None:
    # A with B, C with D: two coins, three each, all one way; of 64 outcomes four lie as far
    found = shifted([("A", "B")] * 3 + [("C", "D")] * 3)
    assert found["df"] == 2
    assert found["statistic"] == pytest.approx(9 / 3 + 9 / 3)
    assert found["p_value"] == pytest.approx(4 / 64)


@pytest.mark.parametrize("outputs", [["A", "B", "C"], ["A", "", FAULT], ["", "", ""]])
def test_no_letter_shift_where_nothing_changed(outputs: list[str]) -> None:
    found = letter_shift(quizzed({"ref": ["A", "B", "C"], "new": outputs}), "ref", "new")
    assert (found["statistic"], found["p_value"], found["method"]) == (None, None, None)
    assert (found["changed"], found["df"]) == (0, 0)


def drawn_pairs(n: int, letters: str, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    # two letters of three stay
    table = (rng.dirichlet(np.ones(len(letters) ** 2)).reshape(len(letters), -1) / 3).ravel()
    table[:: len(letters) + 1] += 2 / 3 / len(letters)
    cells = list(itertools.product(letters, repeat=2))
    return [cells[i] for i in rng.choice(len(cells), size=n, p=table)]


@pytest.mark.parametrize("letters", ["AB", "ABC", "ABCD", "ABCDEFGHIJ"])
@pytest.mark.parametrize("seed", range(3))
def test_letter_shift_against_reference(letters: str, seed: int) -> None:
    pairs = drawn_pairs(2000, letters, seed)
    counts = Counter(pairs)
    table = np.array([[counts[a, b] for b in letters] for a in letters])
    expected = SquareTable(table, shift_zeros=False).homogeneity("stuart_maxwell")
    content = {"question": "?", "options": list(letters)}
    items = [replace(item, content=content) for item in quiz(len(pairs), options=2)]
    old, new = zip(*pairs, strict=True)
    outcomes = scored(make_study(), {"quiz": (items, {"ref": old, "new": new})})["quiz"]
    found = letter_shift(outcomes, "ref", "new")
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-9)
    assert found["df"] == expected.df == len(letters) - 1
    if letters == "AB":
        exact = mcnemar(table, exact=True)
        assert found["method"] == "stuart-maxwell-exact"
        assert found["p_value"] == pytest.approx(exact.pvalue, rel=1e-9)
    else:
        assert found["method"] == "stuart-maxwell"
        # statsmodels subtracts from 1, which ends at 1e-16
        assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-12)
        tail = chi2.sf(found["statistic"], found["df"])
        assert found["p_value"] == pytest.approx(tail, rel=1e-9, abs=1e-300)


PAIRS = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), max_size=9)


@given(PAIRS.filter(lambda pairs: any(a != b for a, b in pairs)))
def test_letter_shift_counts_every_swap_property(pairs: list[tuple[str, str]]) -> None:
    def statistic(pairs: Sequence[tuple[str, str]]) -> float:
        found = shifted(pairs)
        return float(found["statistic"])

    # slow and obvious: swap the arms in every subset of the changed items
    changed = [pair for pair in pairs if pair[0] != pair[1]][:6]
    observed = statistic(changed)
    swaps = [
        statistic([pair[::-1] if swap else pair for pair, swap in zip(changed, one, strict=True)])
        for one in itertools.product([False, True], repeat=len(changed))
    ]
    p = float(np.mean([one >= observed - 1e-9 for one in swaps]))
    assert shifted(changed)["p_value"] == pytest.approx(p, abs=1e-12)


@given(PAIRS.filter(bool), st.randoms())
def test_letter_shift_knows_no_order_and_no_side_property(
    pairs: list[tuple[str, str]], shuffle: Any
) -> None:
    mixed = [(b, a) for a, b in pairs]
    shuffle.shuffle(mixed)
    there, back = shifted(pairs), shifted(mixed)
    assert there["p_value"] == pytest.approx(back["p_value"])
    assert there["statistic"] == pytest.approx(back["statistic"])
    assert there["shift"] == {letter: -count for letter, count in back["shift"].items()}


def test_letter_shift_against_simulation() -> None:
    # no difference, unequal letters, more changes than can be counted: at most about 5 % below .05
    rng = np.random.default_rng(3)
    below = 0
    for _ in range(300):
        first = rng.choice(list("AABCD"), size=60)
        second = rng.choice(list("AABCD"), size=60)
        found = shifted([(str(a), str(b)) for a, b in zip(first, second, strict=True)])
        below += found["p_value"] < 0.05
    assert below <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5


def test_failure_panels_of_spans_by_hand() -> None:
    golds = [[ADA], [], [], [BO]]
    outcomes = named(
        golds,
        {
            "ref": [said(ADA), "[]", "[]", said(("Bo", "ORG"))],
            "new": [said(ADA, ROME), said(ROME), "", FAULT],
        },
    )
    panels = {panel.endpoints[0].name: panel for panel in failure_panels(outcomes)}
    assert list(panels) == ["entity_free_correct", "no_spurious", "not_empty"]
    free = panels["entity_free_correct"]
    assert free.numerators[:, :, 0].tolist() == [[1, 0], [1, 0]]
    spurious = panels["no_spurious"]
    # a wrong type is not spurious; what a malformed answer invents is not known
    assert spurious.answered.tolist() == [[True, True], [True, True], [True, False], [True, False]]
    assert spurious.numerators[:2, :, 0].tolist() == [[1, 0], [1, 0]]
    assert spurious.untold is not None
    assert spurious.untold.tolist() == [[False, False], [False, False], [False, True], [False] * 2]


def test_failure_panels_leave_out_what_nobody_shows() -> None:
    assert failure_panels(quizzed({"ref": ["A"], "new": ["B"]})) == []
    invents = named([[ADA]], {"ref": [said(ADA)], "new": [said(BO)]})
    assert [panel.endpoints[0].name for panel in failure_panels(invents)] == ["no_spurious"]
    assert failure_panels(named([[ADA]], {"ref": [said(ADA)], "new": [said()]})) == []


def test_failure_panels_keep_the_groups_of_their_items() -> None:
    outcomes = named([[ADA], [], [BO]], {"ref": ["[]"] * 3, "new": [said(ROME)] * 3})
    groups = np.array(["x", "y", "z"])
    grouped = replace(outcomes, panel=replace(outcomes.panel, clusters=groups, strata=groups))
    free, spurious = failure_panels(grouped)
    assert free.clusters is not None
    assert free.strata is not None
    assert spurious.clusters is not None
    assert (free.clusters.tolist(), free.strata.tolist()) == (["y"], ["y"])
    assert spurious.clusters.tolist() == ["x", "y", "z"]


def invented(rows: Sequence[tuple[int, int]]) -> TaskOutcomes:
    """Let two arms invent so many entities on entity-free sentences."""
    texts = [
        [said(*[(f"name{i}", "PER") for i in range(count)]) for count in column]
        for column in zip(*rows, strict=True)
    ]
    return named([[]] * len(rows), {"ref": texts[0], "new": texts[1]})


def test_spurious_per_sentence_by_hand() -> None:
    outcomes = named(
        [[ADA], [], [BO], []],
        {
            "ref": [said(ADA), "[]", said(BO), None],
            "new": [said(ADA, ROME), said(ROME, BO), said(("Bo", "ORG")), FAULT],
        },
    )
    assert spurious_per_sentence(outcomes, "new") == {
        "n": 3,
        "spurious": 3,
        "per_sentence": 1.0,
    }
    assert spurious_per_sentence(outcomes, "ref")["per_sentence"] == 0
    empty = named([[ADA]], {"ref": [said(ADA)], "new": [FAULT]})
    assert spurious_per_sentence(empty, "new")["per_sentence"] is None


def contrast(outcomes: TaskOutcomes, old: str = "ref", new: str = "new", **groups: Any) -> Any:
    panel = spurious_panel(outcomes)
    assert panel is not None
    methods = Calibrated(replace(panel, **groups), seed=5, label="t", resamples=10_000, alpha=0.05)
    return methods.contrast(old, new, "spurious_per_sentence")


def test_spurious_contrast_by_hand() -> None:
    # six sentences where the candidate invents one more: all of 64 swaps but two are nearer
    found = contrast(invented([(0, 1)] * 6 + [(1, 1)] * 2 + [(0, 0)] * 4))
    assert found.estimate == -6 / 12
    assert found.p_value == pytest.approx(2 / 64)
    assert found.interval.low < -0.5 < found.interval.high < 0
    assert (found.n, found.interval.confidence) == (12, 0.95)
    assert (found.reference, found.candidate) == ("ref", "new")


@pytest.mark.filterwarnings("ignore::quantrial.errors.StatisticsWarning")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=8))
def test_spurious_contrast_swapped_changes_sign_property(rows: list[tuple[int, int]]) -> None:
    outcomes = invented(rows)
    if not any(map(any, rows)):
        assert spurious_panel(outcomes) is None
        return
    there, back = contrast(outcomes), contrast(outcomes, "new", "ref")
    counts = np.array(rows)
    assert there.estimate == pytest.approx((counts[:, 0] - counts[:, 1]).mean(), abs=1e-12)
    assert back.estimate == pytest.approx(-there.estimate, abs=1e-12)
    assert back.p_value == pytest.approx(there.p_value, abs=1e-12)
    mirrored = [-there.interval.high, -there.interval.low]
    assert [back.interval.low, back.interval.high] == pytest.approx(mirrored, abs=1e-9, nan_ok=True)


def test_spurious_contrast_asks_about_the_groups_of_the_panel() -> None:
    outcomes = invented([(0, 1)] * 5 + [(0, 0)] * 6 + [(0, 1)])
    with pytest.warns(StatisticsWarning, match="is claimed"):
        few = contrast(outcomes, clusters=np.array(list("aabbccddaabb")))
    assert np.isnan([few.interval.low, few.sd]).all()
    strata = np.array(list("aaaaaabbbbbb"))
    kept, plain = contrast(outcomes, strata=strata), contrast(outcomes)
    # most of the change is between the strata, which are fixed
    assert kept.interval.high - kept.interval.low < plain.interval.high - plain.interval.low


def test_spurious_contrast_of_nothing_makes_no_number_up() -> None:
    assert spurious_panel(invented([(0, 0)] * 3)) is None
    assert spurious_panel(quizzed({"ref": ["A"], "new": ["B"]})) is None
    with pytest.warns(StatisticsWarning, match="0 changed"):
        found = contrast(invented([(1, 1), (0, 0), (2, 2)]))
    assert (found.estimate, found.p_value) == (0, 1)
    assert np.isnan([found.interval.low, found.interval.high]).all()


def test_lengths_are_tokens_where_all_are_told_by_hand() -> None:
    outcomes = quizzed({"ref": ["A", "B", None], "new": ["(A)", FAULT, "C"]})
    found = length_panel(outcomes)
    assert found is not None
    panel, unit = found
    assert unit == "tokens"  # 4 of each answer, as `make_response` says
    assert panel.numerators[:, :, 0].tolist() == [[4, 4], [4, 0], [0, 4]]
    assert panel.answered.tolist() == [[True, True], [True, False], [False, True]]
    first = outcomes.responses["ref"][0]
    assert first is not None
    untold = {"ref": (replace(first, completion_tokens=None), *outcomes.responses["ref"][1:])}
    found = length_panel(replace(outcomes, responses={**outcomes.responses, **untold}))
    assert found is not None
    panel, unit = found
    assert unit == "characters"
    assert panel.numerators[:, :, 0].tolist() == [[1, 3], [1, 0], [0, 1]]
    assert length_panel(quizzed({"ref": [None], "new": [FAULT]})) is None
