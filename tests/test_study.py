"""The study file: what it accepts, and one clear line for everything that is wrong with it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantrial.errors import StudyError
from quantrial.study import ChoiceTask, Study, load_study, parse_study
from strategies import JSON, attempt

GOOD = """
study: demo
reference: fp16
arms:
  fp16: {model: a.gguf}
  q8: {model: a.gguf, quantize: Q8_0}
tasks:
  quiz: {kind: choice, workload: reasoning, source: {type: bundled}}
  names: {kind: spans, workload: extraction, source: {type: conll, path: x.conll}, margin: 0.05}
"""


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


def test_a_small_study_and_its_defaults() -> None:
    study = parse_study(GOOD)
    assert (study.study, study.seed, study.margin, study.alpha) == ("demo", 0, 0.01, 0.05)
    assert list(study.arms) == ["fp16", "q8"]
    assert study.arms["fp16"].engine == "llamacpp"
    assert (study.design.schedule, study.design.attempts) == ("auto", 3)
    assert (study.analysis.methods, study.analysis.resamples) == ("calibrated", 10_000)
    quiz = study.tasks["quiz"]
    assert isinstance(quiz, ChoiceTask)
    assert (quiz.scoring, quiz.answer_mode, quiz.sample) == ("answer_letter", "letter", None)


def test_a_margin_may_be_written_in_points_and_is_the_same_study() -> None:
    fractions, points = parse_study(GOOD), parse_study(changed("margin: 0.05", "margin: 5pp"))
    assert points.primary_margin("names") == 0.05
    assert points.hash == fractions.hash


def test_a_margin_of_its_own_goes_before_the_studys() -> None:
    study = parse_study(GOOD)
    assert study.primary_margin("quiz") == 0.01
    assert study.primary_margin("names") == 0.05


def test_how_alike_clusters_are_needs_clusters_and_changes_no_study_that_is_silent() -> None:
    alone = changed("source: {type: bundled}", "source: {type: bundled}, icc: 0.05")
    with pytest.raises(StudyError, match=r"tasks.quiz.*no cluster is named"):
        parse_study(alone)
    named = alone.replace("icc: 0.05", "cluster: subject, icc: 0.05")
    study = parse_study(named)
    assert study.tasks["quiz"].icc == 0.05
    silent = parse_study(named.replace(", icc: 0.05", ""))
    assert "icc" not in silent.canonical()["tasks"]["quiz"]
    assert silent.hash != study.hash


def test_an_endpoints_own_margin_goes_before_the_tasks() -> None:
    study = parse_study(changed("margin: 0.05", "margin: 0.05, margins: {recall: 0.03}"))
    assert [study.margin_of("names", name) for name in ("recall", "micro_f1", "no_spurious")] == [
        0.03, 0.05, 0.05,
    ]  # fmt: skip
    # without an endpoint the primary one is meant
    study = parse_study(changed("kind: choice", "kind: choice, margins: {accuracy: 0.02}"))
    assert study.primary_margin("quiz") == study.margin_of("quiz", "accuracy") == 0.02
    assert study.margin_of("quiz", "parse_rate") == 0.01
    assert parse_study(GOOD).hash != study.hash


def test_margins_and_failure_modes_are_of_what_a_kind_of_task_measures() -> None:
    any_task = "not_truncated, not_refused, not_repeating, not_empty, answered"
    for margins, kind, names in (
        ("kind: choice", "choice", f"accuracy, parse_rate, {any_task}"),
        (
            "kind: spans",
            "spans",
            "micro_f1, macro_f1, precision, recall, parse_rate, exact_match, "
            f"entity_free_correct, no_spurious, {any_task}",
        ),
    ):
        wrong = changed(margins, f"{margins}, margins: {{zzz: 0.1}}")
        with pytest.raises(
            StudyError, match=f"a {kind} task has no endpoint 'zzz'; there are {names}$"
        ):
            parse_study(wrong)
    tested = (
        f"parse_rate, {any_task}, entity_free_correct, no_spurious, output_length, letter_shift, "
        "spurious_per_sentence"
    )
    with pytest.raises(StudyError, match=f"no failure mode 'zzz'; there are {tested}$"):
        parse_study(f"{GOOD}analysis: {{declared_failure_modes: [zzz]}}\n")


def test_the_hash_follows_what_is_meant_not_how_it_is_written() -> None:
    study = parse_study(GOOD)
    assert parse_study(GOOD + "# a comment\nseed: 0\n").hash == study.hash
    assert parse_study(GOOD + "seed: 1\n").hash != study.hash
    assert parse_study(changed("Q8_0", "Q4_0")).hash != study.hash
    assert re.fullmatch("[0-9a-f]{64}", study.hash)


def test_the_hash_by_hand_the_same_for_ever() -> None:
    # the canonical study is plain JSON, and reading it back gives the same study
    study = parse_study(GOOD)
    again = Study.model_validate(study.canonical())
    assert again == study
    assert again.hash == study.hash


def test_a_study_cannot_be_edited() -> None:
    study: Any = parse_study(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        study.seed = 3


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(GOOD, encoding="utf-8")
    marked = tmp_path / "marked.yaml"
    marked.write_bytes(b"\xef\xbb\xbf" + GOOD.encode().replace(b"\n", b"\r\n"))
    assert load_study(path) == load_study(str(marked)) == parse_study(GOOD)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases: dict[str, str] = {
        "absent.yaml": "no such study file; `quantrial init` writes one to start from",
        "folder": "cannot be read (Is a directory)",
        "latin.yaml": "not UTF-8 (byte 8): save it as UTF-8",
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"study: d\xe9mo\n")
    for name, message in cases.items():
        with pytest.raises(StudyError) as caught:
            load_study(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {message}"
        assert caught.value.path == tmp_path / name


YAML_ERRORS = [
    ("", "expected a mapping of keys such as `study:`, `arms:`, `tasks:`"),
    ("- a", "expected a mapping of keys such as"),
    ("demo", "expected a mapping of keys such as"),
    (changed("demo", "demo: x"), "not valid YAML at line 2, column 12: mapping values are not"),
    (changed("demo", "[demo"), "not valid YAML at line 3, column 10: expected ',' or ']'"),
    (changed("demo", "\x07"), "not valid YAML: unacceptable character #x0007"),
    (
        changed("demo", "!!python/object:os.system x"),
        "not valid YAML at line 2, column 8: the tag '!!python/object:os.system' is not read",
    ),
    (changed("demo", "*x"), "not valid YAML at line 2, column 8: found undefined alias 'x'"),
    (
        changed("study: demo", "? [a]\n: 1"),
        "not valid YAML at line 2, column 3: a key is a text, not a list or a mapping",
    ),
    (changed("demo", "!!map x"), "not valid YAML at line 2, column 8: the tag '!!map' is not"),
    (GOOD + "notes: " + "[" * 3000, "not valid YAML at line 10, column 39: nested too deeply"),
    (
        changed("  q8:", "  fp16:"),
        "not valid YAML at line 6, column 3: the key 'fp16' occurs twice",
    ),
    (GOOD + "study: two\n", "not valid YAML at line 10, column 1: the key 'study' occurs twice"),
    (changed("quantize: Q8_0", "model: b"), "the key 'model' occurs twice"),
]


@pytest.mark.parametrize(("text", "message"), YAML_ERRORS)
def test_what_is_no_yaml_says_where(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        parse_study(text, path="study.yaml")
    assert str(caught.value).startswith("study.yaml: ")
    assert str(caught.value).count("\n") == message.count("\n")


KEY_ERRORS = [
    # unknown and misspelt keys, at every depth
    ("study: demo", "study: demo\nmargn: 0.1", "margn", "unknown key; did you mean 'margin'?"),
    ("study: demo", "study: demo\nzzz: 1", "zzz", "unknown key; valid keys here: study, seed, ref"),
    ("reference:", "refrence:", "refrence", "unknown key; did you mean 'reference'?"),
    ("{model: a", "{modle: a", "arms.fp16.modle", "unknown key; did you mean 'model'?"),
    ("workload: r", "workload: r, stratfy: x", "tasks.quiz.stratfy", "did you mean 'stratify'?"),
    ("kind: choice", "kind: choice, zzz: 1", "tasks.quiz.zzz", "unknown key; valid keys"),
    ("kind: choice", "kind: choice, types: [A]", "tasks.quiz.types", "unknown key; valid"),
    ("path: x", "pth: x", "tasks.names.source.pth", "did you mean 'path'?"),
    ("path: x", "devv: y, path: x", "tasks.names.source.devv", "did you mean 'dev'?"),
    ("type: bundled", "type: bundled, path: x", "tasks.quiz.source.path", "unknown key; "),
    ("study: demo", "study: d\ndesign: {atempts: 2}", "design.atempts", "did you mean 'attempts'?"),
    ("study: demo", "study: demo\nanalysis: {method: x}", "analysis.method", "mean 'methods'?"),
    # missing keys
    ("study: demo\n", "", "study", "is missing"),
    ("model: a.gguf, q", "q", "arms.q8.model", "is missing"),
    ("workload: reasoning, ", "", "tasks.quiz.workload", "is missing"),
    ("kind: choice, ", "", "tasks.quiz.kind", "is missing; expected one of 'choice', 'spans'"),
    ("{type: bundled}", "{}", "tasks.quiz.source.type", "is missing; expected one of 'bundled', "),
    (", path: x.conll", "", "tasks.names.source.path", "is missing"),
    # kinds and types that do not exist
    ("kind: choice", "kind: choise", "tasks.quiz.kind", "is 'choise'; expected one of 'cho"),
    ("type: bundled", "type: mmlu", "tasks.quiz.source.type", "is 'mmlu'; expected one of 'bun"),
    # what is no mapping, no list, no text
    ("{type: bundled}", "bundled", "tasks.quiz.source", "should be a mapping of keys; got 'bun"),
    ("{model: a.gguf}", "a.gguf", "arms.fp16", "should be a mapping of keys; got 'a.gguf'"),
    ("study: demo", "study: demo\ndesign: 3", "design", "should be a mapping of keys; got 3"),
    ("quantize: Q8_0", "options: [1]", "arms.q8.options", "should be a mapping of keys; got [1]"),
    ("study: demo", "study: demo\nnotes: hello", "notes", "should be a list; got 'hello'"),
    ("study: demo", "study: 2024", "study", "should be a text; put it in quotes; got 2024"),
    # names
    ("study: demo", "study: a b", "study", "should be of letters, digits, - and _, a"),
    ("  q8:", "  'q8/x':", "arms.q8/x", "should be of letters, digits, - and _"),
    ("  q8:", "  8:", "arms.8", "should be a text; put it in quotes; got 8"),
    ("  quiz:", "  ../quiz:", "tasks.../quiz", "should be of letters, digits, - and _"),
    # ranges and choices
    ("study: demo", "study: demo\nmargin: 1", "margin", "'1' is a loss of everything; did you"),
    ("study: demo", "study: demo\nmargin: 0", "margin", "should be greater than 0; got 0"),
    ("study: demo", "study: demo\nmargin: .nan", "margin", "is .nan; a finite number is nee"),
    ("study: demo", "study: demo\nmargin: big", "margin", "'big' is no loss; write it like"),
    ("margin: 0.05", "margin: -0.05", "tasks.names.margin", "should be greater than 0; got -0.05"),
    ("study: demo", "study: demo\nalpha: 0.5", "alpha", "should be less than 0.5; got 0.5"),
    ("study: demo", "study: demo\nalpha: 0", "alpha", "should be greater than 0; got 0"),
    ("study: demo", "study: demo\nseed: -1", "seed", "greater than or equal to 0; got -1"),
    ("study: demo", "study: demo\nseed: 1.5", "seed", "should be a valid integer"),
    ("kind: choice", "kind: choice, sample: 0", "tasks.quiz.sample", "or equal to 1; got 0"),
    ("kind: choice", "kind: choice, shots: 33", "tasks.quiz.shots", "or equal to 32; got 33"),
    ("kind: choice", "kind: choice, timeout: 0", "tasks.quiz.timeout", "greater than 0; got 0"),
    ("kind: choice", "kind: choice, max_tokens: 0", "tasks.quiz.max_tokens", "equal to 1; got 0"),
    ("kind: choice", "kind: choice, scoring: x", "tasks.quiz.scoring", "'answer_letter' or"),
    ("Q8_0", "Q9", "arms.q8.quantize", "'Q3_K_S' or 'Q2_K'; got 'Q9'"),
    ("study: demo", "study: demo\ndesign: {attempts: 11}", "design.attempts", "equal to 10"),
    ("study: demo", "study: d\ndesign: {schedule: x}", "design.schedule", "be 'auto', 'blocked'"),
    ("study: demo", "study: d\nanalysis: {resamples: 99}", "analysis.resamples", "to 100; got 99"),
    # names of endpoints and failure modes
    (
        "margin: 0.05",
        "margins: {recal: 0.03}",
        "tasks.names.margins",
        "a spans task has no endpoint 'recal'; did you mean 'recall'?",
    ),
    (
        "kind: choice",
        "kind: choice, margins: {zz: 0.1}",
        "tasks.quiz.margins",
        "a choice task has no endpoint 'zz'; there are accuracy, parse_rate, not_truncated",
    ),
    ("margin: 0.05", "margins: {recall: 1}", "tasks.names.margins.recall", "a loss of everything"),
    ("margin: 0.05", "margins: 0.1", "tasks.names.margins", "should be a mapping of keys; got 0.1"),
    (
        "study: demo",
        "study: demo\nanalysis: {declared_failure_modes: [no_spurios]}",
        "analysis.declared_failure_modes",
        "there is no failure mode 'no_spurios'; did you mean 'no_spurious'?",
    ),
    # what only makes sense together
    ("reference: fp16", "reference: fp32", None, "'fp32', which is not among the arms: fp16, q8"),
    ("a.gguf}", "a.gguf, control: positive}", None, "reference 'fp16' cannot be a control arm"),
    ("  q8: {model: a.gguf, quantize: Q8_0}\n", "", "arms", "a comparison needs at least two arms"),
    (GOOD[GOOD.index("tasks:") :], "tasks: {}\n", "tasks", "at least one task is needed"),
    (
        "kind: choice",
        "kind: choice, answer_mode: option",
        "tasks.quiz",
        "answer_mode 'option' continues plain text: set prompt_format to 'completion'",
    ),
    # several
    (
        "kind: choice",
        "kind: choice, margin: 2, shots: 99, sample: 0",
        "tasks.quiz.sample",
        "should be greater than or equal to 1; got 0\n"
        "  tasks.quiz.margin: '2' is a loss of everything; did you mean 2pp?\n"
        "  tasks.quiz.shots: should be less than or equal to 32; got 99",
    ),
    # a key that is needed and misspelt is one problem, not two
    (
        "reference: fp16",
        "sed: 7\nrefernce: fp16",
        "sed",
        "unknown key; did you mean 'seed'?\n  refernce: unknown key; did you mean 'reference'?",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "message"), KEY_ERRORS)
def test_a_wrong_key_or_value_is_named(old: str, new: str, key: str | None, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        parse_study(changed(old, new), path="study.yaml")
    assert caught.value.key == key
    assert str(caught.value).startswith(f"study.yaml: {key}: " if key else "study.yaml: ")
    assert str(caught.value).count("\n") == message.count("\n")


@pytest.mark.parametrize("name", ["choice", "spans", "hub", "source", "design", "model"])
def test_hints_do_not_stumble_over_names_that_are_also_keys(name: str) -> None:
    text = GOOD.replace("q8: {model: a.gguf,", f"{name}: {{modl: a.gguf,")
    with pytest.raises(StudyError, match=f"arms.{name}.modl: unknown key; did you mean 'model'"):
        parse_study(text)
    text = GOOD.replace("quiz: {kind: choice,", f"{name}: {{kind: choice, scorng: x,")
    with pytest.raises(
        StudyError, match=f"tasks.{name}.scorng: unknown key; did you mean 'scoring'"
    ):
        parse_study(text)


@given(st.dictionaries(st.sampled_from([*Study.model_fields, "x"]), JSON))
@example({"arms": {"\n": None}})
def test_property_any_mapping_is_a_study_or_a_line_a_problem(data: dict[str, Any]) -> None:
    import yaml

    good = parse_study(GOOD).canonical()
    for text in (yaml.safe_dump(data), yaml.safe_dump({**good, **data})):
        _, error = attempt(functools.partial(parse_study, text), StudyError)
        said = [] if error is None else str(error).split("\n")
        assert all(len(line) < 400 for line in said)
        assert all(line.startswith("  ") and ": " in line for line in said[1:])


@given(st.text(max_size=60))
@example("?")  # YAML for a key that is nothing: several problems at once
def test_property_any_text_is_a_study_or_a_line_a_problem(text: str) -> None:
    for whole in (text, GOOD + text, GOOD.replace("bundled", text)):
        _, error = attempt(functools.partial(parse_study, whole), StudyError)
        said = [] if error is None else str(error).split("\n")
        assert all(line.startswith("  ") and ": " in line for line in said[1:])
