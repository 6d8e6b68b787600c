"""Whether a study is the experiment it claims to be, on arms and outcomes written by hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from analysis.fabricated import ADA, BO, ROME, named, said
from quantrial import assay
from quantrial.analysis.answers.changes import flips
from quantrial.analysis.statements import identical_arms
from quantrial.assay import Check, outcome_checks
from quantrial.documents import TaskSummary, to_dict
from quantrial.prompt_checks import other_templates
from summaries import arm_records, completed

SHARED = {
    "engine": "llamacpp",
    "versions": {"llama.cpp": "1"},
    "architecture": "llama",
    "parameters": 8_000_000_000,
    "context": 2048,
    "options": {"threads": 2},
    "tokenizer_sha256": "t" * 64,
    "template_sha256": "c" * 64,
    "template_date": {},
}


def arm(kind: str, size: int, digest: str, **changes: Any) -> dict[str, Any]:
    return {**SHARED, "quantization": kind, "bytes_on_disk": size, "sha256": digest * 64, **changes}


ARMS = {
    "f16": arm("F16", 16, "a"),
    "q8_0": arm("Q8_0", 8, "b"),
    "q4_K_M": arm("Q4_K_M", 5, "c"),
}


def found(checks: tuple[Check, ...]) -> dict[str, str]:
    return {one.id: one.status for one in checks}


def changed(name: str, **changes: Any) -> dict[str, Any]:
    return {**ARMS, name: {**ARMS[name], **changes}}


def arm_checks(arms: Mapping[str, Any], *args: Any, **options: Any) -> tuple[Check, ...]:
    return assay.arm_checks(arm_records(arms), *args, **options)


def text(checks: tuple[Check, ...], identity: str) -> str:
    return next(one.text for one in checks if one.id == identity)


def test_arms_that_differ_in_their_weights_alone_pass() -> None:
    assert found(arm_checks(ARMS, "f16")) == {
        "weights": "pass",
        "precision": "pass",
        "sizes": "pass",
        "source": "unknown",
        "tokenizer": "pass",
        "template": "pass",
        "date": "pass",
        "setup": "pass",
    }


@pytest.mark.parametrize(
    ("name", "changes", "check", "status", "said"),
    [
        ("q8_0", {"sha256": "a" * 64}, "weights", "fail", "f16 and q8_0 are the same file"),
        (
            "q8_0",
            {"sha256": None},
            "weights",
            "unknown",
            "not tell the hash of the weights of q8_0",
        ),
        ("q8_0", {"quantization": "Q4_0"}, "precision", "warn", "q8_0 runs a file of type Q4_0"),
        ("q8_0", {"quantization": None}, "precision", "unknown", "of q8_0"),
        (
            "q4_K_M",
            {"stored_as": {"Q5_0": 0.58, "Q8_0": 0.22, "Q4_K": 0.11, "Q6_K": 0.09}},
            "precision",
            "warn",
            "q4_K_M runs a file of type Q4_K_M whose weights are 58 % Q5_0",
        ),
        ("q4_K_M", {"bytes_on_disk": 9}, "sizes", "warn", "q4_K_M is not smaller than q8_0"),
        ("q8_0", {"bytes_on_disk": None}, "sizes", "unknown", "of an arm is not known"),
        (
            "q8_0",
            {"tokenizer_sha256": "x"},
            "tokenizer",
            "fail",
            "q8_0 and f16 have different tok",
        ),
        ("q8_0", {"tokenizer_sha256": None}, "tokenizer", "unknown", "tokenizer of q8_0 cannot be"),
        ("q8_0", {"tokenizer_sha256": "json:t"}, "tokenizer", "unknown", "q8_0 cannot be compared"),
        ("q8_0", {"template_sha256": "x"}, "template", "fail", "they saw different bytes"),
        (
            "q8_0",
            {"template_sha256": "x", "engine": "ollama"},
            "template",
            "unknown",
            "chat template of q8_0 cannot be compared with f16's",
        ),
        (
            "q8_0",
            {"engine": "ollama", "versions": {"ollama": "0.22.1"}, "options": {"num_ctx": 4096}},
            "setup",
            "warn",
            "q8_0 runs in ollama 0.22.1, f16 in llamacpp (llama.cpp 1). A difference between them "
            "may come from the engine as well as the weights.",
        ),
        ("q8_0", {"context": 4096}, "setup", "warn", "context length (4096 against 2048)"),
        (
            "q8_0",
            {"options": {"threads": 1, "flash": 1, "context": 9}, "context": 9},
            "setup",
            "warn",
            "their context length (9 against 2048) and option flash (1 against not set) and "
            "option threads (1 against 2)",
        ),
        (
            "q8_0",
            {"versions": {"llama.cpp": "1" * 60 + "AVX = 0"}},
            "setup",
            "warn",
            "engine version llama.cpp (" + "1" * 40 + "… against 1)",
        ),
        ("q8_0", {"parameters": 7}, "setup", "warn", "number of parameters (7 against 8000000000)"),
    ],
)
def test_each_thing_that_is_not_as_claimed_is_named(
    name: str, changes: dict[str, Any], check: str, status: str, said: str
) -> None:
    checks = arm_checks(changed(name, **changes), "f16")
    assert found(checks)[check] == status
    assert said in text(checks, check)
    others = {k: v for k, v in found(checks).items() if k not in (check, "source", "setup")}
    if check not in ("precision", "sizes", "setup"):
        assert set(others.values()) == {"pass"}, "and nothing else"


SAME, OTHER = {"template_applied_sha256": "s" * 64}, {"template_applied_sha256": "o" * 64}


@pytest.mark.parametrize(
    ("base", "changes", "status", "said"),
    [
        (SAME, SAME, "pass", "make the same prompt of the first item"),
        # one template file, and another system prompt, day or argument of the template
        (SAME, OTHER, "fail", "q8_0 and f16 make different prompts of the first item"),
        # two files of one template, say a mended one whose change only concerns tools
        (
            SAME,
            {**SAME, "template_sha256": "x"},
            "warn",
            "but make the same prompt of the first item",
        ),
        (SAME, {**OTHER, "template_sha256": "x"}, "fail", "q8_0 and f16 make different prompts"),
        (SAME, {"template_sha256": "x"}, "fail", "have different chat templates"),
        (SAME, {**OTHER, "engine": "openai"}, "warn", "on different engines"),
        (SAME, {**SAME, "engine": "openai", "template_sha256": None}, "pass", "the same prompt"),
        (SAME, {"engine": "openai"}, "unknown", "cannot be compared with f16's"),
        ({}, SAME, "pass", "the same chat template"),
        (SAME, {**SAME, "template_changed": True}, "warn", "q8_0 made another prompt of the first"),
    ],
)
def test_templates_are_compared_by_what_they_make_of_the_first_item(
    base: dict[str, Any], changes: dict[str, Any], status: str, said: str
) -> None:
    arms = {"f16": {**ARMS["f16"], **base}, "q8_0": {**ARMS["q8_0"], **changes}}
    checks = arm_checks(arms, "f16")
    assert found(checks)["template"] == status
    assert said in text(checks, "template")
    other = changes.get("template_applied_sha256") == "o" * 64 and "engine" not in changes
    assert other_templates(arm_records(arms), "f16") == (["q8_0"] if other else [])


@pytest.mark.parametrize(
    ("dated", "status", "said"),
    [
        (None, "unknown", "not known whether the chat template of q8_0 writes the date"),
        ({"by": ["strftime_now"], "held": None}, "warn", "prompts change overnight"),
        (
            {"by": ["strftime_now"], "held": None, "written": True},
            "warn",
            "prompts change overnight",
        ),
        ({"by": ["strftime_now"], "held": None, "written": False}, "pass", "into these prompts"),
        (
            {"by": ["date_string"], "held": "2024-07-26"},
            "warn",
            "Every prompt says 2024-07-26 in its place.",
        ),
        (
            {"by": ["date_string"], "held": "2024-07-26", "written": True},
            "warn",
            "The chat template of q8_0 writes the day's date",
        ),
        ({"by": ["date_string"], "held": "2024-07-26", "written": False}, "pass", "No chat templ"),
    ],
)
def test_a_template_that_writes_the_date_is_said_whether_or_not_the_day_is_held(
    dated: dict[str, Any] | None, status: str, said: str
) -> None:
    checks = arm_checks(changed("q8_0", template_date=dated), "f16")
    assert found(checks)["date"] == status
    assert said in text(checks, "date")


def test_a_type_that_most_weights_bear_out_passes() -> None:
    """A Q4_K_M file of usual width: a few tensors in six bits; other names of four bits count."""
    for stored_as in ({"Q4_K": 0.8, "Q6_K": 0.2}, {"IQ4_NL": 0.6, "Q8_0": 0.4}, {}):
        checks = arm_checks(changed("q4_K_M", stored_as=stored_as), "f16")
        assert found(checks)["precision"] == "pass"


def test_a_control_may_have_the_type_and_size_of_another_arm() -> None:
    arms = {**ARMS, "rounded": arm("F16", 16, "d")}
    assert found(arm_checks(arms, "f16", ["rounded"]))["sizes"] == "pass"
    # 16 bits that take no more room than 8: without being a control that would be odd
    odd = {**ARMS, "f16_again": arm("F16", 8, "d")}
    assert found(arm_checks(odd, "f16"))["sizes"] == "warn"


def test_arms_of_one_source_are_told_from_arms_of_several() -> None:
    made = {
        "f16": arm("F16", 16, "a"),
        "q8_0": arm("Q8_0", 8, "b", source_sha256="a" * 64),
        "q4_0": arm("Q4_0", 4, "c", source_sha256="a" * 64),
    }
    assert found(arm_checks(made, "f16"))["source"] == "pass"
    made["q4_0"]["source_sha256"] = "e" * 64
    assert found(arm_checks(made, "f16"))["source"] == "warn"


def estimate(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"estimate": value, "ci": [low, high]}


def tasks(verdict: str = "worse") -> dict[str, Any]:
    return {
        "quiz": {
            "primary": "accuracy",
            "chance": 0.25,
            "always_empty": None,
            "margin": 0.05,
            "flow": {"unlike_items": 0, "unhashed_items": 0},
            "endpoints": {
                "accuracy": {
                    "arms": {"f16": estimate(0.6, 0.5, 0.7)},
                    "contrasts": [
                        {"reference": "f16", "candidate": "bad", "verdict": verdict},
                        {"reference": "bad", "candidate": "worse", "verdict": "worse"},
                    ],
                }
            },
        },
        "names": {
            "primary": "micro_f1",
            "chance": None,
            "always_empty": 0.3,
            "margin": 0.05,
            "flow": {"unlike_items": 0, "unhashed_items": 0},
            "endpoints": {
                "micro_f1": {"arms": {"f16": estimate(0.6, 0.5, 0.7)}, "contrasts": []},
                "macro_f1": {"arms": {"f16": estimate(0.6, 0.5, 0.7)}, "contrasts": []},
            },
        },
    }


def typed(parts: Mapping[str, Any]) -> Mapping[str, TaskSummary]:
    return completed({"tasks": parts}).tasks


def test_a_study_that_could_see_harm_passes() -> None:
    checks = outcome_checks(typed(tasks()), "f16", ["bad"])
    assert found(checks) == {
        "prompts": "pass",
        "floor.quiz": "pass",
        "ceiling.quiz": "pass",
        "floor.names": "pass",
        "ceiling.names": "pass",
        "control": "pass",
    }


@pytest.mark.parametrize(
    ("task", "endpoint", "interval", "check", "status"),
    [
        ("quiz", "accuracy", (0.3, 0.25, 0.4), "floor.quiz", "fail"),
        ("quiz", "accuracy", (0.3, 0.2501, 0.4), "floor.quiz", "pass"),
        ("quiz", "accuracy", (0.92, 0.9, 0.951), "ceiling.quiz", "warn"),
        ("quiz", "accuracy", (0.92, 0.9, 0.95), "ceiling.quiz", "pass"),
        ("quiz", "accuracy", (1.0, None, None), "ceiling.quiz", "warn"),
        ("quiz", "accuracy", (None, None, None), "floor.quiz", "unknown"),
        ("names", "micro_f1", (0.0, None, None), "floor.names", "fail"),
        ("names", "macro_f1", (0.35, 0.3, 0.4), "floor.names", "warn"),
    ],
)
def test_the_reference_is_held_against_floor_and_ceiling(
    task: str, endpoint: str, interval: tuple[Any, ...], check: str, status: str
) -> None:
    parts = copy.deepcopy(tasks())
    parts[task]["endpoints"][endpoint]["arms"]["f16"] = estimate(*interval)
    assert found(outcome_checks(typed(parts), "f16", ["bad"]))[check] == status
    assert typed(parts)[task].at_floor("f16") is (status == "fail")


def test_a_control_has_to_be_found_worse_than_the_reference() -> None:
    assert found(outcome_checks(typed(tasks("inconclusive")), "f16", ["bad"]))["control"] == "fail"
    assert found(outcome_checks(typed(tasks()), "f16", []))["control"] == "unknown"
    assert found(outcome_checks(typed(tasks()), "f16", ["bad", "other"]))["control"] == "warn"


def test_items_that_were_not_shown_alike_fail_the_study() -> None:
    parts = tasks()
    parts["quiz"]["flow"]["unlike_items"] = 3
    checks = outcome_checks(typed(parts), "f16", [])
    assert found(checks)["prompts"] == "fail"
    assert "3 items of quiz" in text(checks, "prompts")
    parts = tasks()
    parts["names"]["flow"]["unhashed_items"] = 1
    assert found(outcome_checks(typed(parts), "f16", []))["prompts"] == "unknown"


def test_another_engine_is_one_sentence_without_a_list_of_options() -> None:
    other = {"engine": "ollama", "versions": {"ollama": "0.22.1"}, "options": {"num_ctx": 4096}}
    arms = {"f16": ARMS["f16"], **{n: {**ARMS[n], **other} for n in ("q8_0", "q4_K_M")}}
    said = text(arm_checks(arms, "f16"), "setup")
    assert said.startswith("q8_0 and q4_K_M run in ollama 0.22.1, f16 in llamacpp (llama.cpp 1).")
    assert "not set" not in said
    assert "num_ctx" not in said
    # what is no option of an engine is named all the same
    arms["q8_0"]["context"] = 4096
    more = text(arm_checks(arms, "f16"), "setup")
    assert "q8_0 and f16 differ in their context length (4096 against 2048)" in more
    assert "not set" not in more


def by_engine(**changes: Any) -> dict[str, Any]:
    """Two arms of the same weights, the second in another engine."""
    other = {"engine": "ollama", "versions": {"ollama": "0.22.1"}, "options": {"num_ctx": 4096}}
    return {"ours": ARMS["f16"], "theirs": {**ARMS["f16"], **other, **changes}}


def test_equal_weights_are_the_study_where_engines_are_the_question() -> None:
    asked = arm_checks(by_engine(), "ours", question="engines")
    assert found(asked)["weights"] == found(asked)["setup"] == "pass"
    assert "All arms run the same weights" in text(asked, "weights")
    assert "The study compares engines: theirs runs in ollama 0.22.1" in text(asked, "setup")
    # nobody asked: then There is nothing to compare.
    unasked = arm_checks(by_engine(), "ours")
    assert (found(unasked)["weights"], found(unasked)["setup"]) == ("fail", "warn")


@pytest.mark.parametrize(
    ("changes", "check", "status", "said"),
    [
        ({"sha256": "z" * 64}, "weights", "warn", "theirs and ours have different weights"),
        ({"sha256": None}, "weights", "unknown", "not tell the hash of the weights of theirs"),
        ({"context": 9}, "setup", "warn", "differ in more than their engines: theirs and ours"),
        (
            {"engine": "llamacpp", "versions": {"llama.cpp": "2"}, "options": {"threads": 4}},
            "setup",
            "pass",
            "engine version llama.cpp (2 against 1) and option threads (4 against 2)",
        ),
        (
            {key: SHARED[key] for key in ("engine", "versions", "options")},
            "setup",
            "warn",
            "all arms run in one engine of one version with the same options",
        ),
        (
            {key: SHARED[key] for key in ("engine", "versions", "options")},
            "weights",
            "fail",
            "There is nothing to compare.",
        ),
    ],
)
def test_what_is_no_comparison_of_engines_is_said(
    changes: dict[str, Any], check: str, status: str, said: str
) -> None:
    checks = arm_checks(by_engine(**changes), "ours", question="engines")
    assert found(checks)[check] == status
    assert said in text(checks, check)


def test_engines_that_answer_alike_are_no_identical_arms() -> None:
    flips = [{"reference": "ours", "candidate": "theirs", "n": 9, "harmful": 0, "beneficial": 0}]
    tasks = {"sums": {"flips": [{**flips[0], "churn": 0}]}}
    parts = typed(tasks)
    assert list(identical_arms(arm_records(by_engine()), parts, engines=True)) == []
    assert [pair.arms for pair in identical_arms(arm_records(by_engine()), parts)] == [
        ("ours", "theirs")
    ]
    same = by_engine(**{key: SHARED[key] for key in ("engine", "versions", "options")})
    assert len(list(identical_arms(arm_records(same), parts, engines=True))) == 1


def test_arms_that_are_wrong_in_different_words_are_not_identical() -> None:
    # neither is ever right, so that no answer turns, and their scores differ
    outcomes = named([[ADA, BO]], {"ours": [said(ADA)], "theirs": [said(ADA, ROME)]})
    parts = typed({"names": {"flips": [to_dict(flips(outcomes, "ours", "theirs"))]}})
    arms = arm_records(by_engine())
    assert len(list(identical_arms(arms, parts))) == 1  # as the counts alone have it
    assert list(identical_arms(arms, parts, {"names": outcomes})) == []
    same = named([[ADA, BO]], {"ours": [said(ADA)], "theirs": [said(ADA)]})
    assert len(list(identical_arms(arms, parts, {"names": same}))) == 1
