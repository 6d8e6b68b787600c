"""What templates make of the first item: recorded, compared between arms, sessions and moments."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

import quantrial
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Request
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import EngineError, RunChangedError
from quantrial.running import Progress
from quantrial.thought_tags import opening_tag_at_end
from studies import arm, write_study

REPLIES = ["A"]  # right throughout
SUMS = {
    "kind": "choice",
    "workload": "reasoning",
    "source": {"type": "jsonl", "path": "questions.jsonl"},
}


@dataclasses.dataclass
class Templates:
    """What each scripted model's template does, to be changed as a test goes on."""

    frames: dict[str, str]  # by model: `{}` stands for the messages
    dates: dict[str, dict[str, Any] | None]
    asked: int = 0

    def frame(self, model: str, request: Request) -> str:
        self.asked += 1
        said = "".join(f"[{m.role}] {m.content}\n" for m in request.messages)
        return self.frames.get(model, "{}[assistant] ").replace("{}", said)


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch) -> Templates:
    """Have scripted engines say what they show."""
    found = Templates({}, {})

    def render(engine: ScriptedEngine, requests: list[Request]) -> list[str]:
        return [found.frame(engine._model, request) for request in requests]

    describe = ScriptedEngine.describe

    def described(engine: ScriptedEngine) -> Artifact:
        return dataclasses.replace(
            describe(engine), template_date=found.dates.get(engine._model, {})
        )

    monkeypatch.setattr(ScriptedEngine, "render", render, raising=False)
    monkeypatch.setattr(ScriptedEngine, "describe", described)
    return found


def study_in(folder: Path, **changes: Any) -> Path:
    arms = {
        "f16": arm("f16", 400, REPLIES),
        "q8_0": arm("q8", 200, REPLIES),
        "q4_0": arm("q4", 100, REPLIES),
    }
    return write_study(folder, arms=arms, margin=0.3, **changes)


def arms_of(run: Path) -> Mapping[str, Any]:
    arms: Mapping[str, Any] = orjson.loads((run / "manifest.json").read_bytes())["arms"]
    return arms


def check(summary: Mapping[str, Any], identity: str) -> tuple[str, str]:
    one = next(one for one in summary["assay"] if one["id"] == identity)
    return one["status"], one["text"]


class StopError(Exception):
    """Ends a run in its midst."""


def stopping_after(calls: int, then: Callable[[], None] | None = None) -> Callable[[Any], None]:
    def listen(progress: Progress) -> None:
        if sum(progress.done.values()) >= calls:
            if then is None:
                raise StopError
            then()

    return listen


def begin(study: Path, run: Path) -> None:
    with pytest.raises(StopError):
        quantrial.run(study, out=run, listener=stopping_after(5))


def test_what_the_first_item_becomes_is_hashed_for_every_arm(
    tmp_path: Path, templates: Templates
) -> None:
    templates.frames["q4"] = "{}[assistant] <think>\n"
    run = tmp_path / "run"
    study = study_in(tmp_path)
    quantrial.run(study, out=run)
    (first, *_) = [
        one for one in quantrial.prompts(study, task="sums", arm="f16") if one.text is not None
    ]
    assert first.text is not None
    assert "What is" in first.text
    arms = arms_of(run)
    expected = hashlib.sha256(first.text.encode()).hexdigest()
    assert arms["f16"]["template_applied_sha256"] == expected
    assert arms["q8_0"]["template_applied_sha256"] == expected
    assert arms["q4_0"]["template_applied_sha256"] != expected
    assert [arms[name]["template_opens_thought"] for name in arms] == [None, None, "<think>"]


def test_an_arm_whose_template_says_more_is_not_recommended(
    tmp_path: Path, templates: Templates
) -> None:
    """Its file's template may be the same, and so may the tokens it counts."""
    templates.frames["q4"] = "[system] Be brief.\n{}[assistant] "
    study, run = study_in(tmp_path, tasks={"sums": SUMS}), tmp_path / "run"
    said = quantrial.plan(study).assay
    assert (
        "fail",
        "q4_0 and f16 make different prompts of the first item with their chat templates.",
    ) in [(one.status, one.text) for one in said]
    quantrial.run(study, out=run)
    summary = quantrial.analyze(run)
    assert check(summary, "template")[0] == "fail"
    assert summary["arms"]["q4_0"]["other_template"] is True
    decision = quantrial.decide(run)
    assert decision["default"]["arm"] != "q4_0"
    assert all(one["arm"] != "q4_0" for one in decision["pick_when"])
    caution = next(one for one in decision["cautions"] if "chat templates" in one["text"])
    assert caution["kind"] == "assay"
    templates.frames.clear()
    sound = tmp_path / "sound"
    quantrial.run(study, out=sound)
    assert check(quantrial.analyze(sound), "template") == (
        "pass",
        "All chat templates make the same prompt of the first item.",
    )
    assert quantrial.decide(sound)["default"]["arm"] == "q4_0"


def test_a_template_that_changed_overnight_stops_the_next_session(
    tmp_path: Path, templates: Templates
) -> None:
    study, run = study_in(tmp_path), tmp_path / "run"
    begin(study, run)
    templates.frames["q8"] = "[system] Mended.\n{}[assistant] "
    with pytest.raises(RunChangedError, match="makes of the first item changed") as caught:
        quantrial.run(study, out=run)
    assert "'q8_0'" in str(caught.value)
    templates.frames.clear()
    assert quantrial.run(study, out=run).recorded == 108


def test_a_date_that_nobody_holds_is_a_caution_and_not_a_stop(
    tmp_path: Path, templates: Templates
) -> None:
    for model in ("f16", "q8", "q4"):
        templates.dates[model] = {"by": ["strftime_now"], "held": None}
        templates.frames[model] = (
            f"[system] Today is {datetime.now(UTC).astimezone():%Y-%m-%d}.\n{{}}"
        )
    study, run = study_in(tmp_path), tmp_path / "run"
    said = [one for one in quantrial.plan(study).assay if one.id == "date"]
    begin(study, run)
    for model in templates.frames:
        templates.frames[model] = "[system] Today is 1 January 2000.\n{}"
    quantrial.run(study, out=run)
    arms = arms_of(run)
    assert [arms[name]["template_changed"] for name in arms] == [True, True, True]
    status, text = check(quantrial.analyze(run), "template")
    assert status == "warn"
    assert "f16, q8_0 and q4_0 made another prompt of the first item later in the run" in text
    texts = [one["text"] for one in quantrial.decide(run)["cautions"]]
    assert any("made another prompt of the first item later" in one for one in texts)
    assert said[0].status == "warn"
    assert "f16, q8_0 and q4_0 writes the day's date, and no other can be set" in said[0].text
    assert any("prompts change overnight" in one for one in texts)


def test_a_template_that_changes_while_a_session_runs_is_seen_at_its_end(
    tmp_path: Path, templates: Templates
) -> None:
    study, run = study_in(tmp_path), tmp_path / "run"

    def change() -> None:
        templates.frames["q4"] = "[system] It is tomorrow.\n{}"

    quantrial.run(study, out=run, listener=stopping_after(50, change))
    arms = arms_of(run)
    assert [bool(arms[name].get("template_changed")) for name in arms] == [False, False, True]
    assert check(quantrial.analyze(run), "template")[0] == "warn"


def test_a_held_day_that_is_another_one_is_refused(tmp_path: Path, templates: Templates) -> None:
    templates.dates["q8"] = {"by": ["date_string"], "held": "2024-07-26"}
    study, run = study_in(tmp_path), tmp_path / "run"
    begin(study, run)
    templates.dates["q8"] = {"by": ["date_string"], "held": "2025-01-01"}
    with pytest.raises(RunChangedError, match="it was 2024-07-26, is 2025-01-01"):
        quantrial.run(study, out=run)


def test_a_run_from_before_templates_were_applied_goes_on(
    tmp_path: Path, templates: Templates
) -> None:
    study, run = study_in(tmp_path), tmp_path / "run"
    begin(study, run)
    manifest = json.loads((run / "manifest.json").read_text())
    later = {
        *("template_applied_sha256", "template_opens_thought"),
        *("template_date", "template_default"),
    }
    for one in manifest["arms"].values():
        for key in later & one.keys():
            del one[key]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert quantrial.run(study, out=run).recorded == 108
    assert arms_of(run)["f16"]["template_applied_sha256"]
    # but not where the prompts are told a day now, and were not then
    old = tmp_path / "old"
    begin(study, old)
    (old / "manifest.json").write_text(json.dumps(manifest | {"study": manifest["study"]}))
    templates.dates["f16"] = {"by": ["date_string"], "held": "2024-07-26"}
    with pytest.raises(RunChangedError, match="it was that of each call, is 2024-07-26"):
        quantrial.run(study, out=old)


def test_a_template_that_cannot_be_applied_is_said_at_plan_and_stops_nothing(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> list[str]:
        raise EngineError("roles must alternate")

    monkeypatch.setattr(ScriptedEngine, "render", refuse, raising=False)
    study = study_in(tmp_path)
    said = quantrial.plan(study).warnings
    assert "the prompt as q4_0 reads it is not known: roles must alternate" in said
    quantrial.run(study, out=tmp_path / "run")
    assert arms_of(tmp_path / "run")["q4_0"]["template_applied_sha256"] is None


def test_engines_that_do_not_say_are_not_asked(tmp_path: Path) -> None:
    run = tmp_path / "run"
    quantrial.run(study_in(tmp_path), out=run)
    assert arms_of(run)["f16"]["template_applied_sha256"] is None
    summary = quantrial.analyze(run)
    assert check(summary, "template")[0] == "unknown"
    assert check(summary, "date")[0] == "unknown"


def test_a_model_file_without_a_template_is_said_at_plan_where_chats_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = ScriptedEngine.describe

    def described(engine: ScriptedEngine) -> Artifact:
        default = "chatml" if engine._model == "q4" else None
        return dataclasses.replace(describe(engine), template_default=default)

    monkeypatch.setattr(ScriptedEngine, "describe", described)
    said = [one for one in quantrial.plan(study_in(tmp_path)).warnings if "ChatML" in one]
    assert said == [
        "q4_0: the model file holds no chat template. llama.cpp uses ChatML "
        "(<|im_start|>role ... <|im_end|>), even if the model was not trained on it."
    ]
    text = {"sums": {**SUMS, "prompt_format": "completion"}}
    continued = study_in(tmp_path / "text", tasks=text)
    assert not [one for one in quantrial.plan(continued).warnings if "ChatML" in one]


@pytest.mark.parametrize(
    ("prompt", "tag"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|Assistant|><think>", "<think>"),
        ("[THINK]", "[THINK]"),
        ("<thinking>\n\n", "<thinking>"),
        ("<reasoning> ", "<reasoning>"),
        ("<seed:think>", "<seed:think>"),
        ("assistant◁think▷", "◁think▷"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|channel>thought\n", "<|channel>thought"),
        ("<think>\n\n</think>\n\n", None),
        ("[THINK]x[/THINK]", None),
        ("Write <think> when you think.<|im_end|>\n<|im_start|>assistant\n", None),
        ("<|start|>assistant<|channel|>final<|message|>", None),
        ("<thin>", None),
        ("", None),
    ],
)
def test_by_hand_a_prompt_that_ends_in_an_opening_tag(prompt: str, tag: str | None) -> None:
    assert opening_tag_at_end(prompt) == tag


def test_by_hand_a_study_names_tags_of_its_own() -> None:
    assert opening_tag_at_end("assistant: ((muse)) ", [("((muse))", "((done))")]) == "((muse))"
    assert opening_tag_at_end("assistant: ((muse)) ") is None


def test_an_answer_that_is_cut_in_a_thought_that_the_template_opened_is_none(
    tmp_path: Path, templates: Templates
) -> None:
    """No tag stands in it: only the prompt tells that it is a thought."""
    # a word is a token of the scripted engine, and 16 the limit
    thinking = "ANSWER: A, for " + "one and one " * 20
    arms = {name: arm(name, 100, [thinking]) for name in ("f16", "q4_0")}
    study = write_study(tmp_path, arms=arms, tasks={"sums": SUMS})
    templates.frames = dict.fromkeys(arms, "{}[assistant] <think>\n")
    run = tmp_path / "opened"
    quantrial.run(study, out=run)
    modes = quantrial.analyze(run)["tasks"]["sums"]["failure_modes"]
    assert modes["q4_0"]["unparsed_rate"] == 1
    templates.frames = dict.fromkeys(arms, "{}[assistant] ")
    plain = tmp_path / "plain"
    quantrial.run(study, out=plain)
    modes = quantrial.analyze(plain)["tasks"]["sums"]["failure_modes"]
    assert modes["q4_0"]["unparsed_rate"] == 0
    assert not modes["q4_0"].get("reading"), "no answer is doubtful: the prompt opens no thought"
