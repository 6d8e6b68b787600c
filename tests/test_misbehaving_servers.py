"""Whole studies over a server that misbehaves, one way a study: never a recommendation it made up.

Two truths: the candidate means what the reference means, or it is wrong on a quarter of the items
more. Over a well-behaved server the first ships the candidate and the second does not. Over one
that misbehaves a study ends in the same, or it stays with the reference (or warns of the candidate)
and says why where the decision is read.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.errors import RecordWarning
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import run_study
from quantrial.running.waiting import Clock
from quantrial.study import parse_study
from servers.misbehaving import LIMIT, WAYS, MisbehavingServer, Model, Sent, Way, well

ITEMS = 40
OLLAMA = {
    "/api/version": {"version": "0.22.1"},
    "/models": {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "library"}]},
}
# what must be said where a way changes what is recommended; ways that are not named change nothing
SAID = {
    "thought_cut": r"thought|max_tokens|limit of tokens",
    "thought_cut_in_brackets": r"thought|max_tokens|limit of tokens",
    "channel_cut": r"thought|max_tokens|limit of tokens",
    "opened_by_the_template": r"thought|max_tokens|limit of tokens",
    "maybe_a_thought": r"thought|max_tokens|limit of tokens",
    "unknown_tag": r"<ponder>|tag",
    "thought_apart": r"thought|max_tokens|limit of tokens",
    "empty_though_counted": r"max_tokens|empty",
    "loops": r"cut off|loop|repeat|truncated|max_tokens",
    "breaks_at_one_place": r"broke|cut|max_tokens|truncated",
    "other_template": r"prompt|template",
    "smaller_window": r"prompt|window|context",
    "fails_where_wrong": r"missing|fault",
}


class Sleepless(Clock):
    """A clock that does not sleep."""

    def sleep(self, seconds: float) -> None:
        """Not at all."""


def means(truth: str, arm: str) -> Callable[[int], str]:
    """Say which letter an arm means: the right one, but for every tenth; see the module."""

    def letter(number: int) -> str:
        gold = number % 4
        wrong = number % 10 == 9 or (truth == "worse" and arm == "q4_0" and number % 4 == 1)
        return "ABCD"[(gold + 1) % 4 if wrong else gold]

    return letter


def other_words(way: Way) -> Way:
    """Say the same in other words: answers equal to the byte would be one model's."""

    def sent(number: int, letter: str) -> Sent:
        found = way(number, letter)
        if found.text.endswith(letter):
            return dataclasses.replace(found, text=f"{found.text}.")
        if found.text.endswith(f"{letter}."):
            return dataclasses.replace(found, text=f"{found.text[:-1]}!")
        return found

    return sent


def decided(folder: Path, truth: str, reference: Way, candidate: Way, **tells: Any) -> Any:
    """Run and decide a study of two arms, each with a server of its own."""
    folder.mkdir(parents=True)
    rows = [
        f'{{"question": "What is {i} plus {i}?", "options": ["a{i}", "b{i}", "c{i}", "d{i}"], '
        f'"answer": {i % 4}}}\n'
        for i in range(ITEMS)
    ]
    (folder / "sums.jsonl").write_text("".join(rows), encoding="utf-8")
    logprobs = 1 if "impossible_logprobs" in (reference.__name__, candidate.__name__) else None
    with (
        MisbehavingServer(Model(means(truth, "f16"), reference, **tells)) as one,
        MisbehavingServer(Model(means(truth, "q4_0"), other_words(candidate), **tells)) as other,
    ):
        servers = {"f16": one, "q4_0": other}
        study = {
            "study": "misbehaving",
            "reference": "f16",
            "margin": 0.1,
            "arms": {
                arm: {"engine": "openai", "model": "m", "options": {"base_url": server.url}}
                for arm, server in servers.items()
            },
            "tasks": {
                "sums": {
                    "kind": "choice",
                    "workload": "reasoning",
                    "max_tokens": LIMIT,
                    "source": {"type": "jsonl", "path": "sums.jsonl"},
                }
            },
            "design": {"repeat_reference": 0, **({"logprobs": 1} if logprobs else {})},
        }
        text = yaml.safe_dump(study, sort_keys=False)
        (folder / "study.yaml").write_text(text, encoding="utf-8")
        with warnings.catch_warnings():
            # counts that cannot be true are told once a run, as they should be
            warnings.simplefilter("ignore", RecordWarning)
            run_study(
                OpenStudy(parse_study(text), text, folder), folder=folder / "run", clock=Sleepless()
            )
    quantrial.analyze(folder / "run")
    return quantrial.decide(folder / "run")


def said(decision: Any) -> str:
    """Everything that is read where the decision is read."""
    parts = [decision["default"], *decision["cautions"], *decision["pick_when"]]
    return " ".join(one["text"] for one in parts)


@pytest.mark.parametrize(("truth", "shipped"), [("same", "q4_0"), ("worse", "f16")])
def test_a_well_behaved_server_gives_the_right_recommendation(
    tmp_path: Path, truth: str, shipped: str
) -> None:
    decision = decided(tmp_path / "study", truth, well, well)
    assert decision["default"]["arm"] == shipped
    assert bool(decision["avoid_for"]) == (truth == "worse")


# every way of a candidate that means the same; of the other two, every fourth way, `make soak` all
STUDIES = [
    pytest.param(name, *of, marks=[pytest.mark.soak] if at and (place + at) % 4 else [])
    for place, name in enumerate(WAYS)
    for at, of in enumerate((("same", "candidate"), ("worse", "candidate"), ("same", "both")))
]


@pytest.mark.parametrize(("name", "truth", "who"), STUDIES)
def test_a_server_that_misbehaves_makes_no_recommendation_up(
    tmp_path: Path, name: str, truth: str, who: str
) -> None:
    way = WAYS[name]
    decision = decided(tmp_path / "study", truth, way if who == "both" else well, way)
    shipped, avoided = decision["default"]["arm"], bool(decision["avoid_for"])
    if truth == "worse":
        assert shipped == "f16", decision["default"]["text"]
        return
    if (shipped, avoided) == ("q4_0", False):
        return
    assert name in SAID, f"{name} changed the recommendation: {decision['default']['text']}"
    assert re.search(SAID[name], said(decision)), said(decision)


@pytest.mark.parametrize("who", ["candidate", "both"])
@pytest.mark.parametrize("truth", ["same", "worse"])
def test_a_server_with_sampling_of_its_own_is_named_where_the_decision_is_read(
    tmp_path: Path, truth: str, who: str
) -> None:
    decision = decided(tmp_path / "study", truth, well, well, tells=OLLAMA)
    assert re.search(r"[Oo]llama", said(decision)), said(decision)
    if truth == "worse":
        assert decision["default"]["arm"] == "f16"
