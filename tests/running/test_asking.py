"""What is hashed of what an arm is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantrial.engines import Request
from quantrial.running.asking import asked_sha256
from quantrial.tasks import Prompt

PROMPT = Prompt(messages=(("system", "Be brief."), ("user", "Hello.")), stop=("\n",))
REQUEST = Request(text="x")


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (("system", "Be long."), ("user", "Hello."))},
        {"messages": (("user", "Be brief."), ("user", "Hello."))},
        {"messages": (("user", "Hello."),)},
        {"messages": (), "text": "Hello."},
        {"max_tokens": 65},
        {"stop": ()},
        {"grammar": 'root ::= "a"'},
        {"schema": {"type": "array"}},
    ],
)
def test_whatever_an_arm_is_shown_changes_the_hash(change: dict[str, Any]) -> None:
    assert asked_sha256(replace(PROMPT, **change), REQUEST) != asked_sha256(PROMPT, REQUEST)


def test_sampling_counts_where_there_is_any() -> None:
    def asked(**sampling: Any) -> str:
        return asked_sha256(PROMPT, replace(REQUEST, **sampling))

    assert asked(seed=1) == asked(seed=2), "a greedy answer does not depend on the seed"
    drawn = {asked(temperature=0.5, seed=1), asked(temperature=0.5, seed=2), asked(temperature=0.6)}
    assert len(drawn | {asked()}) == 4
    assert asked(timeout=1.0) == asked(logprobs=3) == asked(), "these change no answer"
