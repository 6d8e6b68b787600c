from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantrial.engines import Message, Request, make_engine
from quantrial.engines.scripted import Fault, Script, ScriptedEngine
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineTimeoutError,
    StudyError,
)
from quantrial.study import Arm


def from_file(logs: Path | None = None, seed: int = 0, model: str = "m", **options: Any) -> Any:
    arm = Arm(engine="scripted", model=model, options=options)
    engine: Any = make_engine("a", arm, base=Path("/"), seed=seed)
    if logs is not None:
        engine.log_into(logs)
    return engine


def test_a_function_answers() -> None:
    engine = ScriptedEngine(lambda request: (request.text or "").upper())
    assert engine.ask(Request(text="abc")).output == "ABC"


def test_a_mapping_answers_by_prompt_then_by_part_of_it() -> None:
    engine = ScriptedEngine({"France": "Paris", "France and Spain": "two"})
    assert engine.ask(Request(text="France and Spain")).output == "two"
    chat = (Message("system", "s"), Message("user", "capital of France?"))
    assert engine.ask(Request(messages=chat)).output == "Paris"
    with pytest.raises(EngineError, match="no reply to 'Spain'") as caught:
        engine.ask(Request(text="Spain"))
    assert not caught.value.retryable


def test_calls_are_kept_in_order() -> None:
    engine = ScriptedEngine(["x"])
    requests = [Request(text=str(i)) for i in range(3)]
    for request in requests:
        engine.ask(request)
    assert engine.calls == requests


def test_replies_follow_model_prompt_and_seed_and_not_the_order_of_calls() -> None:
    prompts = [Request(text=f"item {i}") for i in range(40)]
    options: dict[str, Any] = {"replies": ["A", "B", "C"]}
    first, second = from_file(**options), from_file(**options)
    answers = [first.ask(p).output for p in prompts]
    assert answers == [second.ask(p).output for p in reversed(prompts)][::-1]
    assert set(answers) == {"A", "B", "C"}
    for other in (from_file(seed=1, **options), from_file(model="n", **options)):
        assert answers != [other.ask(p).output for p in prompts]


def test_without_replies_a_grammar_answers_or_else_a_hash() -> None:
    engine = from_file()
    grammar = r'root ::= " \"A\"" | " B"'
    seen = {engine.ask(Request(text=str(i), grammar=grammar)).output for i in range(20)}
    assert seen == {' "A"', " B"}
    assert len(engine.ask(Request(text="x")).output) == 64


def test_an_engine_that_does_not_constrain_refuses_a_grammar() -> None:
    engine = from_file(constrains=False)
    assert "grammar" not in engine.abilities
    with pytest.raises(EngineError, match="grammar") as caught:
        engine.ask(Request(text="x", grammar='root ::= "a"'))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("engine_error", EngineError),
        ("timeout", EngineTimeoutError),
        ("crash", EngineCrashedError),
        ("context_overflow", ContextOverflowError),
    ],
)
def test_faults_come_on_cue(kind: str, error: type[EngineError]) -> None:
    engine = from_file(replies=["x"], faults=[{"call": 2, "kind": kind, "times": 2}])
    assert engine.ask(Request(text="1")).output == "x"
    for _ in range(2):
        with pytest.raises(error, match=kind) as caught:
            engine.ask(Request(text="2"))
        assert type(caught.value) is error
    assert engine.ask(Request(text="3")).output == "x"
    assert engine.asked == 4
    assert engine.starts == (3 if kind == "crash" else 1)


def test_faults_match_a_text_and_run_out() -> None:
    engine = ScriptedEngine(["x"], Script(faults=(Fault("timeout", matching="bad", times=2),)))
    failed = []
    for text in ("bad", "good", "bad", "bad"):
        try:
            engine.ask(Request(text=text))
        except EngineTimeoutError:
            failed.append(len(engine.calls))
    assert failed == [1, 3]


def test_every_call_is_logged_before_it_is_answered(tmp_path: Path) -> None:
    engine = from_file(tmp_path, log="calls.jsonl", faults=[{"call": 1, "kind": "crash"}])
    with pytest.raises(EngineCrashedError):
        engine.ask(Request(text="a\nb"))
    engine.ask(Request(text="c"))
    lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["a\nb", "c"]


def test_a_log_that_cannot_be_written_is_an_engine_error(tmp_path: Path) -> None:
    for log in (tmp_path / "missing" / "deeper" / "calls.jsonl", tmp_path):
        with pytest.raises(EngineError, match="cannot be written"):
            ScriptedEngine(["x"], Script(log=log)).ask(Request(text="a"))


def test_a_log_of_a_study_is_a_file_in_the_folder_of_logs_and_nowhere_else(tmp_path: Path) -> None:
    names = ("../x", "/tmp/x", "~/x", "a/b", "a\\b", ".bashrc", "..", "", "x" * 200, "a\0", "a\n")
    for name in names:
        with pytest.raises(StudyError, match="expected the name of a file, such as"):
            from_file(tmp_path, log=name)
    from_file(None, log="calls.jsonl").ask(Request(text="a"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "calls.jsonl").symlink_to(tmp_path / "precious")
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    for logs, name in ((tmp_path / "logs", "calls.jsonl"), (tmp_path / "link", "other.jsonl")):
        with pytest.raises(EngineError, match="is a link"):
            from_file(logs, log=name).ask(Request(text="a"))
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "logs" / "other.jsonl").exists()


def test_delay_is_waited_and_shown() -> None:
    reply = from_file(delay=0.02, load=0.01).ask(Request(text="a"))
    assert reply.timing.wall >= 0.02
    assert reply.timing.load >= 0.01


def test_the_artifact_says_what_the_study_said() -> None:
    artifact = from_file(quantization="Q4_0", bytes=123, model="tiny").describe()
    assert (artifact.model, artifact.quantization, artifact.bytes_on_disk) == ("tiny", "Q4_0", 123)
    assert artifact.sha256 != from_file(model="other").describe().sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replies": [1]}, r"options\.replies: expected a list of texts"),
        ({"replies": "A"}, r"options\.replies: expected a list, got 'A'"),
        ({"delay": -1}, r"options\.delay: should be at least 0"),
        ({"faults": ["x"]}, r"faults\.0: expected a mapping"),
        ({"faults": [{"kind": "crash"}]}, r"faults\.0: expected either `call` or `matching`"),
        ({"faults": [{"call": 1, "kind": "krash"}]}, r"faults\.0\.kind: expected one of engine_er"),
        ({"faults": [{"call": 1, "kid": "crash"}]}, r"faults\.0\.kid: .*did you mean 'kind'"),
        ({"faults": [{"call": 0}]}, r"faults\.0\.call: should be at least 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        from_file(**options)


def test_a_thousand_calls_neither_wait_nor_keep_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many a second that makes is measured by `make soak`; what could slow it down, here."""
    slept: list[float] = []
    monkeypatch.setattr("quantrial.engines.scripted.time.sleep", slept.append)
    engine = from_file(replies=["A", "B"])
    request = Request(text="x " * 200)
    for _ in range(1000):
        engine.ask(request)
    assert sum(slept) == 0
    assert engine.asked == 1000
    assert engine.calls == []
