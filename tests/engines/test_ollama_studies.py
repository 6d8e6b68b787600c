"""Whole studies over an Ollama server, by the command line: answers that loop, prompts cut."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from command import command
from repetitions import mostly_repetitions
from servers.ollama import Model, OllamaServer
from servers.ollama_rules import Said, rendered
from servers.ollama_voice import words_of
from studies import read_lines

ITEMS = 60
ARMS = ("large", "small")
WINDOW = 200


def right(prompt: str) -> str:
    """Answer with the letter that the question names last."""
    return str(re.findall(r"letter (\w)", prompt)[-1])


def damaged(_: str, said: Said, limit: int) -> Said:
    """Go round in circles where the answer is B."""
    if said.pieces[0] != "B":
        return said
    return Said(("Well", ",", *[" no"] * limit)[:limit], "length", limit)


def gold(number: int) -> int:
    return number % 3


def write_study(
    folder: Path, server: OllamaServer, *, pad: Callable[[int], int] = lambda _: 0, **changes: Any
) -> Path:
    """Write a study of two arms; `pad` is how many words an item has beside its question."""
    for name, title, number in (("items", "Item", ITEMS), ("dev", "Shot", 4)):
        rows = [
            {
                "question": f"{title} {i}: {'so on ' * pad(i)}name the letter {'ABC'[gold(i)]}.",
                "options": ["one", "two", "three"],
                "answer": gold(i),
            }
            for i in range(number)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)
    task = {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "jsonl", "path": "items.jsonl", "dev": "dev.jsonl"},
        "prompt_format": "chat",
        "shots": 0,
        "max_tokens": 60,
        **changes.pop("task", {}),
    }
    options = changes.pop("options", {})
    said = {"host": server.address, "num_ctx": 2048}
    study = {
        "study": "served",
        "reference": "large",
        "margin": 0.1,
        "arms": {
            arm: {
                "engine": "ollama",
                "model": f"m:{arm}",
                "options": {**said, **options.get(arm, options.get("all", {}))},
            }
            for arm in ARMS
        },
        "tasks": {"letters": task},
        "design": {"repeat_reference": 0},
        "analysis": {"resamples": 200},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def quantrial(*arguments: str | Path) -> str:
    done = command(*arguments, env={**os.environ, "COLUMNS": "300"}, drawn=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ran(study: Path) -> tuple[Path, str]:
    """Run a study to its decision; return its folder and the first screen."""
    run = study.parent / "run"
    quantrial("run", study, "-o", run, "--only-answers")
    quantrial("analyze", run)
    screen = quantrial("decide", run)
    quantrial("report", run)
    assert "follows from the responses" in quantrial("verify", run)
    return run, screen


def responses(run: Path, arm: str) -> list[dict[str, Any]]:
    return read_lines(run / "responses" / f"letters.{arm}.jsonl")


def summary(run: Path) -> Any:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture
def server(wordy: Callable[..., Model]) -> Iterator[OllamaServer]:
    models = {f"m:{arm}": wordy(right, rows=rows) for arm, rows in zip(ARMS, (64, 32), strict=True)}
    with OllamaServer(models) as own:
        yield own


@pytest.mark.parametrize("loops", [("small",), ("large", "small")], ids=["one-arm", "both-arms"])
def test_answers_that_loop_count_where_they_were_asked_for(
    tmp_path: Path, server: OllamaServer, loops: tuple[str, ...]
) -> None:
    for arm in loops:
        server.models[f"m:{arm}"].voice = damaged
    run, screen = ran(write_study(tmp_path, server))
    found = summary(run)
    looping = sum(gold(i) == 1 for i in range(ITEMS))
    for arm in ARMS:
        said = responses(run, arm)
        assert len(said) == ITEMS, "each was asked once"
        assert {one["status"] for one in said} == {"ok"}
        stopped = [one for one in said if one["finish_reason"] == "repeat_limit"]
        assert len(stopped) == (looping if arm in loops else 0)
        assert {one["output"] for one in stopped} <= {"Well," + " no" * 31}
        modes = found["tasks"]["letters"]["failure_modes"][arm]
        assert [modes["texts"][sign]["count"] for sign in ("truncated", "repeating")] == [
            len(stopped)
        ] * 2
        assert modes["texts"]["n"] == ITEMS
    [contrast] = found["tasks"]["letters"]["endpoints"]["accuracy"]["contrasts"]
    lost = looping / ITEMS if loops == ("small",) else 0.0
    assert contrast["n"] == ITEMS
    assert contrast["estimate"] == pytest.approx(-lost)
    assert ("Ship small" in screen) is (loops != ("small",))


# how items become prompts, and how far they are padded
PROMPTS: dict[str, tuple[dict[str, Any], int]] = {
    "chat": ({"prompt_format": "chat"}, 8),
    "text": ({"prompt_format": "completion"}, 8),
    "shots": ({"prompt_format": "chat", "shots": 3}, 3),
}


@pytest.mark.parametrize(
    ("version", "prompts"),
    mostly_repetitions(
        itertools.product(["0.22.1", "0.12.3", "0.3.14"], PROMPTS),
        # shots are a longer chat: one version shows that they are counted
        [*itertools.product(["0.22.1", "0.12.3", "0.3.14"], ["chat", "text"]), ("0.22.1", "shots")],
    ),
)
def test_no_answer_counts_whose_prompt_was_cut(
    tmp_path: Path, server: OllamaServer, version: str, prompts: str
) -> None:
    server.version = version
    task, step = PROMPTS[prompts]
    window = {"all": {"num_ctx": WINDOW}}
    study = write_study(tmp_path, server, task=task, pad=lambda i: step * (i % 20), options=window)
    run = tmp_path / "run"
    quantrial("run", study, "-o", run, "--only-answers")
    for arm in ARMS:
        said = responses(run, arm)
        assert len(said) == ITEMS, "what does not fit is not asked again"
        statuses = {one["status"] for one in said}
        assert statuses == {"ok", "context_overflow"}
        for one in said:
            if one["status"] == "ok":
                assert one["prompt_tokens"] < WINDOW
                assert one["finish_reason"] == "stop"
            else:
                assert "num_ctx" in one["error"]
    assert_whole(run, server)


def assert_whole(run: Path, server: OllamaServer) -> None:
    """Hold what was recorded against what was sent: its tokens, were they not cut."""
    sent = {}
    for _, body in server.requests:
        if body.get("prompt") or body.get("messages"):
            text = body.get("prompt") or rendered(body["messages"])
            number = re.findall(r"Item (\d+):", text)
            if number and not re.search(r"1 2 3 4 5 6 7 8 ", text):
                sent[int(number[-1])] = len(words_of(text))
    order = {
        one["id"]: int(re.findall(r"Item (\d+):", json.dumps(one["content"]))[0])
        for one in read_lines(run / "items.jsonl")
    }
    for arm in ARMS:
        for one in responses(run, arm):
            count = sent[order[one["item"]]]
            assert (one["status"] == "ok") is (count < WINDOW), (count, one["prompt_tokens"])
            if one["status"] == "ok":
                assert one["prompt_tokens"] == count


def test_an_arm_with_a_smaller_window_is_not_shipped_for_what_it_could_not_read(
    tmp_path: Path, server: OllamaServer
) -> None:
    server.version = "0.12.3"
    options = {"large": {"num_ctx": 2048}, "small": {"num_ctx": WINDOW}}
    study = write_study(tmp_path, server, pad=lambda i: 8 * (i % 20), options=options)
    run, screen = ran(study)
    assert {one["status"] for one in responses(run, "large")} == {"ok"}
    assert {one["status"] for one in responses(run, "small")} == {"ok", "context_overflow"}
    assert "Ship small" not in screen
