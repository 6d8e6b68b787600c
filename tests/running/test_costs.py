"""What a study costs: tokens, loads, memory, by hand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.cli import consent, main
from quantrial.design.plan import Plan, Tokens
from quantrial.design.schedule import Call
from quantrial.errors import ConsentError, StudyError
from quantrial.records import ArmRecord
from quantrial.running.planning import (
    disk_bytes,
    loads_of,
    memory_here,
    prompt_tokens,
    refuse_too_large,
)
from quantrial.tasks import Prompt
from running.test_killed import embedded_study
from studies import write_study


def test_a_token_is_four_bytes_rounded_up() -> None:
    assert [Tokens.estimated(n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert prompt_tokens(Prompt(text="ä" * 4)) == 2, "bytes, not letters"
    chat = Prompt(messages=(("system", "1234"), ("user", "12345678")))
    assert prompt_tokens(chat) == 3


def test_loads_are_counted_where_one_arm_is_held_at_a_time() -> None:
    order = ["a", "a", "b", "b", "a", "c"]
    calls = [Call(i, i, "t", f"i{i}", arm) for i, arm in enumerate(order)]
    assert loads_of(calls, ["a", "b", "c"], together=True) == {"a": 1, "b": 1, "c": 1}
    assert loads_of(calls, ["a", "b", "c"], together=False) == {"a": 2, "b": 1, "c": 1}


def test_a_file_that_two_arms_share_lies_on_the_disk_once() -> None:
    arms = {
        "a": ArmRecord(sha256="x", bytes_on_disk=5),
        "b": ArmRecord(sha256="x", bytes_on_disk=5),
        "c": ArmRecord(sha256="y", bytes_on_disk=3),
    }
    assert disk_bytes(arms) == 8
    assert disk_bytes({**arms, "d": ArmRecord()}) is None


def test_an_arm_that_does_not_fit_is_refused_with_the_numbers() -> None:
    large = ArmRecord(
        engine="llamacpp", bytes_on_disk=16_000_000_000, kv_bytes=1_000_000_000, context=8192
    )
    refuse_too_large({"f16": large}, 17_000_000_000)
    refuse_too_large({"f16": large}, None)
    with pytest.raises(
        StudyError,
        match=r"arms\.f16: .*16\.00 GB for weights and 1\.00 GB for a context of 8,192 tokens; "
        r"16\.99 GB are free",
    ):
        refuse_too_large({"f16": large}, 16_990_000_000)
    # a server may be another machine, and answers for its own memory
    elsewhere = {"f16": replace(large, engine="ollama")}
    refuse_too_large(elsewhere, 1)
    assert memory_here(elsewhere, 1).too_large == ()


@pytest.mark.model
def test_a_context_that_no_machine_holds_is_refused_and_nothing_is_loaded(tmp_path: Path) -> None:
    """By hand: 30 layers of 3 heads, 2 x 64 numbers of 2 bytes: 23,040 bytes a token."""
    study = embedded_study(tmp_path)
    text = study.read_text()
    study.write_text(text.replace("context: 1024", "context: 400000000", 1))
    plan = quantrial.plan(study)
    assert plan.too_large == ("f16",)
    said = "9216.00 GB for a context of 400,000,000 tokens"
    assert any(said in warning for warning in plan.warnings)
    with pytest.raises(StudyError, match=f"arms.f16: does not fit in memory: .*{said}"):
        quantrial.run(study, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plan_counts_tokens_loads_and_disk(tmp_path: Any) -> None:
    plan = quantrial.plan(write_study(tmp_path))
    assert plan.tokens is not None
    # 24 questions of at most 16 tokens and 12 sentences of at most 256, by three arms
    assert plan.tokens.answer == (24 * 16 + 12 * 256) * 3
    assert plan.tokens.prompt > plan.calls * 10
    assert [arm.loads for arm in plan.arms] == [1, 1, 1]
    assert plan.disk_bytes == 400 + 200 + 100
    assert plan.fits
    assert plan.together


def unattended(tmp_path: Path, seconds: float | None, **changes: Any) -> tuple[Path, Plan]:
    """A study of many calls, and a plan that says how long they take."""
    study = write_study(tmp_path, **changes)
    plan = quantrial.plan(study)
    arms = tuple(replace(arm, seconds=None if seconds is None else 100.0) for arm in plan.arms)
    return study, replace(plan, arms=arms, seconds=seconds)


@pytest.mark.parametrize("seconds", [3601.0, 4320.0])
def test_a_run_of_over_an_hour_is_asked_about_before_the_first_answer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
) -> None:
    study, plan = unattended(tmp_path, seconds)
    monkeypatch.setattr("quantrial.cli.consent._FEW", 0)
    monkeypatch.setattr("quantrial.commands.studies.plan", lambda *_, **__: plan)
    with pytest.raises(ConsentError, match=r"108 calls take about 1\.[02] h\. Go on\?"):
        consent.agree_to_hours(study, tmp_path / "run", yes=False)
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == "f16 36 2.78 s 2 min"  # 100 s of 36 calls
    assert not (tmp_path / "run").exists()
    consent.agree_to_hours(study, tmp_path / "run", yes=True)


@pytest.mark.parametrize("seconds", [3600.0, 12.0, None])
def test_a_run_of_an_hour_or_of_unknown_length_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    study, plan = unattended(tmp_path, seconds)
    monkeypatch.setattr("quantrial.cli.consent._FEW", 0)
    monkeypatch.setattr("quantrial.commands.studies.plan", lambda *_, **__: plan)
    consent.agree_to_hours(study, tmp_path / "run", yes=False)


def test_a_run_that_has_begun_is_not_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, plan = unattended(tmp_path, 9000.0)
    quantrial.run(study, out=tmp_path / "run")
    monkeypatch.setattr("quantrial.cli.consent._FEW", 0)
    monkeypatch.setattr("quantrial.commands.studies.plan", lambda *_, **__: plan)
    consent.agree_to_hours(study, tmp_path / "run", yes=False)
    consent.agree_to_hours(tmp_path / "run", None, yes=False)
    with pytest.raises(ConsentError):
        consent.agree_to_hours(study, tmp_path / "another", yes=False)


def test_few_calls_are_not_timed_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("quantrial.commands.studies.plan", refuse)
    consent.agree_to_hours(write_study(tmp_path), tmp_path / "run", yes=False)


def test_a_no_and_a_missing_terminal_are_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConsentError, match=r"terminal to ask on: nothing was done\. --yes agrees"):
        consent.ask("Go on?", refused="nothing was done")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    answers = iter([True, False])
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers))
    consent.ask("Go on?", refused="nothing was done")
    with pytest.raises(ConsentError, match=r"^nothing was done$"):
        consent.ask("Go on?", refused="nothing was done")


def test_a_run_reads_its_study_and_its_items_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            read.append(name)
            return function(*args, **kwargs)

        return call

    for place in ("running.prepare.load_items", "commands.derived.parse_study"):
        module, _, name = place.rpartition(".")
        function = getattr(importlib.import_module(f"quantrial.{module}"), name)
        monkeypatch.setattr(f"quantrial.{place}", counting(name, function))
    study, out = write_study(tmp_path), tmp_path / "run"
    words = ["quantrial", "run", str(study), "--out", str(out), "--allow-code", "--only-answers"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert read == ["parse_study", "load_items", "load_items"]  # one study, two tasks
