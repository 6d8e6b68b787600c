"""What a report says in sentences reads plainly: the example's, and those of scripted studies."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from quantrial.decision import Constraints, decide_from
from reporting.trials import Trial

pytestmark = pytest.mark.usefixtures("undrawn")

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"
NUMBER = r"[−+-]?[\d.,]*\d"
UNIT = r"(?:pp|MB|bytes|times|s|ms|%|tokens|items)"
# what says that two numbers differ, with one of them on either side
SET_APART = re.compile(rf"({NUMBER}) ?({UNIT}), (?:more|less) than [^.;]*?({NUMBER}) ?({UNIT})\b")


def prose(report: str) -> list[str]:
    """Return the lines that are sentences or lists of them: no table, picture, heading or code."""
    text = re.sub(r"^```.*?^```", "", report, flags=re.DOTALL | re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    return [one for one in lines if one and not one.startswith(("|", "#", "!", "<"))]


def faults(line: str) -> list[str]:
    """Name what a line does against the rules of plain sentences."""
    found = ["says which"] if re.search(r"\bwhich\b", line) else []
    found += ["has two spaces"] if "  " in line else []
    found += ["has two points"] if re.search(r"\.\.(?!\.)", line.replace("...", "")) else []
    found += [f"says {one}" for one in ("None", "nan") if re.search(rf"\b{one}\b", line)]
    for left, unit, right, other in SET_APART.findall(line):
        if (left, unit) == (right, other):
            found.append(f"sets {left} {unit} apart from itself")
    return found


def test_every_sentence_of_the_example_is_plain() -> None:
    lines = prose((EXAMPLE / "report.md").read_text(encoding="utf-8"))
    assert len(lines) > 100
    assert {one: found for one in lines if (found := faults(one))} == {}


@pytest.mark.parametrize(
    "limits",
    [
        None,
        Constraints(max_memory=250, min_speedup=0.5, tolerate=0.99),
        Constraints(max_memory=1, max_latency=1e-9),
        Constraints(tolerate=0.001, cost_per_hour=2.5, error_cost=0.1, workloads=("reasoning",)),
    ],
)
def test_every_sentence_of_a_scripted_study_is_plain(
    trial: Trial, limits: Constraints | None
) -> None:
    decision = decide_from(trial.summary, limits) if limits else trial.decision
    lines = prose(replace(trial, decision=decision).render()["report.md"])
    assert len(lines) > 50
    assert {one: found for one in lines if (found := faults(one))} == {}


def test_checks_and_warnings_are_sentences(trial: Trial) -> None:
    said = [one["text"] for one in trial.summary["assay"]]
    said += [one for part in trial.summary["tasks"].values() for one in part["warnings"]]
    assert len(said) > 10
    for text in said:
        assert text.endswith("."), text
        assert not text.endswith(".."), text
        assert "`" not in text, text
        assert faults(text) == [], text


def test_the_rules_find_what_they_are_for() -> None:
    plain = "q4_0 lost 12.0 pp on reasoning, more than the margin of 3 pp."
    assert faults(plain) == []
    assert faults("It lost 3.0 pp, more than the margin of 3.0 pp.")
    assert faults("That loss, which was seen, is small.")
    assert faults("It is small.  It is seen.")
    assert faults("It is small..")
    assert faults("It lost nan pp.")
