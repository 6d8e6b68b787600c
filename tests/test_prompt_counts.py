"""Whole studies over servers that read other prompts than they were sent, by their own counts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from command import command
from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer

ITEMS = 60
Usage = Callable[[int, Mapping[str, Any]], dict[str, Any]]


def tokens_in(call: Call) -> int:
    """Count the words of a prompt: what a sound server reads of it."""
    return sum(len(str(one["content"]).split()) for one in call.body.get("messages", ()))


@dataclasses.dataclass
class Reads:
    """A server's answers, with what it says that it read; `usage` is told words and state."""

    usage: Usage
    state: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, call: Call, say: Say) -> Answer:
        if call.body:
            counts = self.usage(tokens_in(call), self.state)
            say = dataclasses.replace(say, usage={"completion_tokens": 1, **counts})
        return openai_answer(call, say)


def whole(words: int, state: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt_tokens": words}


def template(words: int, state: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt_tokens": words + 229}


def window(words: int, state: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt_tokens": min(words, 40)}


def now_and_then(words: int, state: dict[str, Any]) -> dict[str, Any]:
    state["n"] = state.get("n", 0) + 1
    return {"prompt_tokens": words + 17 * (state["n"] % 3 == 0)}


def cached(words: int, state: dict[str, Any]) -> dict[str, Any]:
    """Count as OpenAI does: what the cache held is part of the prompt, and said beside."""
    kept = 20 if state.setdefault("warm", False) else 0
    state["warm"] = True
    return {"prompt_tokens": words, "prompt_tokens_details": {"cached_tokens": kept}}


def anew(words: int, state: dict[str, Any]) -> dict[str, Any]:
    """Count what was read anew alone, and say beside what the cache held."""
    kept = words - 3 if state.setdefault("warm", False) else 0
    state["warm"] = True
    return {"prompt_tokens": words - kept, "prompt_tokens_details": {"cached_tokens": kept}}


def nothing(words: int, state: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@pytest.fixture
def ran(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Run a study of two arms whose servers count as they are told; returns the run folder."""
    with contextlib.ExitStack() as stack:

        def run(reference: Usage, candidate: Usage) -> Path:
            folder = tmp_path / f"{reference.__name__}-{candidate.__name__}"
            folder.mkdir()
            lines = [
                f'{{"question": "What is {i} plus {i}? {"Think. " * (i % 40)}", '
                f'"options": ["{2 * i}", "{2 * i + 1}"], "answer": 0}}\n'
                for i in range(ITEMS)
            ]
            (folder / "sums.jsonl").write_text("".join(lines))
            arms = {}
            # the same letter in other words: answers equal to the byte would be one model's
            for arm, usage, text in (("f16", reference, "A"), ("q8_0", candidate, "A.")):
                server = stack.enter_context(
                    FaultyServer(model="m", text=text, answer=Reads(usage))
                )
                options = {"base_url": server.url}
                arms[arm] = {"engine": "openai", "model": "m", "options": options}
            study = {
                "study": "counts",
                "reference": "f16",
                "margin": 0.1,
                "arms": arms,
                "tasks": {
                    "sums": {
                        "kind": "choice",
                        "workload": "reasoning",
                        "source": {"type": "jsonl", "path": "sums.jsonl"},
                    }
                },
                "design": {"repeat_reference": 0},
            }
            path = folder / "study.yaml"
            path.write_text(yaml.safe_dump(study, sort_keys=False))
            quantrial.run(path, out=folder / "run")
            return folder / "run"

        yield run


def first_screen(run: Path) -> str:
    """Return what `decide` prints."""
    done = command("decide", run, env={**os.environ, "COLUMNS": "400"}, drawn=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("candidate", [whole, cached, anew], ids=lambda one: one.__name__)
@pytest.mark.parametrize("reference", [whole, cached, anew], ids=lambda one: one.__name__)
def test_servers_that_read_the_same_give_the_recommendation(
    ran: Callable[..., Path], reference: Usage, candidate: Usage
) -> None:
    run = ran(reference, candidate)
    (check,) = [one for one in quantrial.analyze(run)["assay"] if one["id"] == "prompts"]
    assert check["status"] == "pass", check["text"]
    assert quantrial.decide(run)["default"]["arm"] == "q8_0"


@pytest.mark.parametrize(
    ("reference", "candidate", "said"),
    [
        (whole, template, "q8_0 reads 229 tokens more than f16 on 60 of 60 items of sums"),
        (template, whole, "q8_0 reads 229 tokens fewer than f16 on 60 of 60 items of sums"),
        (whole, window, "q8_0 never reads more than 40 tokens on sums"),
        (window, whole, "f16 never reads more than 40 tokens on sums"),
        (whole, now_and_then, "q8_0 reads 17 tokens more than f16 on 20 of 60 items of sums"),
        (cached, template, "q8_0 reads 229 tokens more than f16 on 60 of 60 items of sums"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_servers_that_read_something_else_are_said_first_and_not_shipped(
    ran: Callable[..., Path], reference: Usage, candidate: Usage, said: str
) -> None:
    run = ran(reference, candidate)
    (check,) = [one for one in quantrial.analyze(run)["assay"] if one["id"] == "prompts"]
    assert check["status"] == "fail"
    assert said in check["text"]
    decision = quantrial.decide(run)
    assert decision["default"]["arm"] == "f16"
    assert decision["default"]["conclusive"] is False
    assert decision["pick_when"] == decision["avoid_for"] == []
    screen = first_screen(run)
    assert said in screen
    assert "Ship q8_0" not in screen
    assert said in decision["cautions"][0]["text"]


def test_counts_that_nobody_tells_are_said_not_to_be_known(ran: Callable[..., Path]) -> None:
    run = ran(whole, nothing)
    (check,) = [one for one in quantrial.analyze(run)["assay"] if one["id"] == "prompts"]
    assert check["status"] == "unknown"
    assert "How many tokens each arm read is not known for some items of sums." in check["text"]
    assert quantrial.decide(run)["default"]["arm"] == "q8_0"


def test_prompts_of_a_run_show_the_counts(ran: Callable[..., Path]) -> None:
    run = ran(whole, template)
    (one,) = quantrial.prompts(run)
    assert one.tokens["q8_0"] == one.tokens["f16"] + 229
    assert one.as_asked is True
    assert one.text is None
    assert "does not say what its template makes" in str(one.unknown)
