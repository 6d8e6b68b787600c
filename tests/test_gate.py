"""The gate of a pipeline: each exit code by a run that really is so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from lxml import etree

import quantrial
from quantrial.decision.margin_tests import fewest_items
from quantrial.errors import StudyError
from quantrial.gate import GateResult, junit, markdown
from quantrial.study import load_study
from studies import arm
from test_cli import quantrial_

QUESTIONS = 200
SCHEMA = Path(__file__).parent / "data" / "jenkins" / "junit-10.xsd"


def write(folder: Path, **changes: Any) -> Path:
    """Write a study of four candidates, of which each shows something else."""
    folder.mkdir(parents=True)
    rows = [
        {
            "question": f"Question {i:04d}?",
            "options": list("wxyz"),
            "answer": 0,
            "subject": "critical" if i < 20 else "other",
        }
        for i in range(QUESTIONS)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(text, encoding="utf-8")

    def late(count: int) -> list[dict[str, Any]]:
        return [
            {"matching": f"Question {i:04d}?", "kind": "timeout", "times": 9} for i in range(count)
        ]

    study = {
        "study": "gated",
        "seed": 3,
        "reference": "f16",
        "arms": {
            "f16": arm("f16", 400, ["A. By f16."]),
            "right": arm("q8_0", 300, ["A. By right."]),
            "worse": arm("q4_0", 200, ["A. By worse."] * 4 + ["B."]),  # loses every fifth answer
            "few": arm("q6_k", 250, ["A. By few."], faults=late(4)),  # 2 % of answers missing
            "many": arm("q5_0", 220, ["A. By many."], faults=late(20)),  # 10 %
        },
        "tasks": {
            "sums": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "questions.jsonl"},
            }
        },
        "design": {"repeat_reference": 0, "attempts": 1},
        "analysis": {"resamples": 100},
    } | changes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    out = folder / "run"
    quantrial.run(write(folder / "study"), out=out)
    return out


def gate(run: Path, *arms: str, **said: Any) -> GateResult:
    keys = {"must_pass", "inconclusive", "max_missing"} & said.keys()
    rest = {key: said.pop(key) for key in keys}
    required = {"arms": list(arms), **({"require": [said]} if said else {}), **rest}
    return quantrial.check_gate(run, required)


CASES: list[tuple[str, dict[str, Any], int, str]] = [
    ("right", {"non_inferior": "2pp"}, 0, "is ruled out"),
    ("right", {"no_worse_than": "1pp"}, 0, "is not shown"),
    ("right", {"at_least": 0.9}, 0, "keeps the limit"),
    ("right", {"memory_at_most": 300}, 0, "the size of its weights"),
    ("right", {"must_pass": ["subject=critical"]}, 0, "loses none"),
    ("few", {"non_inferior": "20pp"}, 0, "few lost 2.0 pp"),
    ("worse", {"non_inferior": "2pp"}, 1, "a loss of more than 2 pp is shown"),
    ("worse", {"no_worse_than": "2pp"}, 1, "a loss of more than 2 pp is shown"),
    ("worse", {"at_least": 0.9}, 1, "breaks the limit"),
    ("worse", {"memory_at_most": 199}, 1, "the size of its weights"),
    ("worse", {"must_pass": ["subject=critical"]}, 1, "items wrong that must pass"),
    # with 200 items a spotless candidate rules out no loss of 1 pp
    ("right", {"non_inferior": "1pp"}, 3, "200 items cannot rule out a loss of 1 pp"),
    # four missing answers held against it are a loss of just 2 pp
    ("few", {"non_inferior": "2pp"}, 3, "4 missing answers held against it"),
    ("worse", {"at_least": 0.8}, 3, "the limit lies within the interval"),
    ("few", {"must_pass": ["subject=critical"]}, 3, "4 items that must pass cannot be compared"),
    ("many", {"non_inferior": "20pp"}, 4, "more than the 5 % that may be missing"),
    ("right", {"ratio_at_least": 1.5}, 4, "was not measured in a speed phase"),
]


@pytest.mark.parametrize(("arm_", "said", "code", "words"), CASES)
def test_each_requirement_ends_in_its_code(
    run: Path, arm_: str, said: Mapping[str, Any], code: int, words: str
) -> None:
    found = gate(run, arm_, **said)
    assert (found.exit_code, len(found.lines)) == (code, 1), found.lines
    assert words in found.lines[0].text


def test_the_worst_line_decides_in_the_order_invalid_violated_undecided(run: Path) -> None:
    order = [("right", 0), ("few", 3), ("worse", 1), ("many", 4)]
    for at in range(1, len(order) + 1):
        found = gate(run, *(name for name, _ in order[:at]), non_inferior="2pp")
        assert found.exit_code == order[at - 1][1]


def test_undecided_may_pass_and_nothing_else_may(run: Path) -> None:
    for way in ("warn", "pass"):
        assert gate(run, "few", non_inferior="2pp", inconclusive=way).exit_code == 0
        assert gate(run, "worse", non_inferior="2pp", inconclusive=way).exit_code == 1
        assert gate(run, "many", non_inferior="2pp", inconclusive=way).exit_code == 4


def test_missing_answers_may_be_more_by_an_option(run: Path) -> None:
    # 20 of 200 held against it: a loss of 10 pp
    found = gate(run, "many", non_inferior="20pp", max_missing=0.1)
    assert found.exit_code == 0
    assert found.lines[0].ci[1] is not None
    assert found.lines[0].ci[1] < 0


def test_what_is_not_checked_is_listed_and_changes_no_code(run: Path) -> None:
    found = gate(run, "right", non_inferior="2pp")
    assert any("damaged on purpose" in one for one in found.not_checked)
    assert found.exit_code == 0
    assert "5.0 % of runs" in found.false_alarms


def test_a_control_that_is_not_seen_makes_all_of_it_invalid(tmp_path: Path) -> None:
    arms = {
        "f16": arm("f16", 400, ["A. By f16."]),
        "right": arm("q8_0", 300, ["A. By right."]),
        "damaged": arm("q2_k", 100, ["A. By damaged."]) | {"control": "positive"},
    }
    study = write(tmp_path / "s", arms=arms, gate={"require": [{"non_inferior": "2pp"}]})
    quantrial.run(study, out=tmp_path / "run")
    found = quantrial.check_gate(tmp_path / "run")  # by the study's own part
    assert found.arms == ("right",)
    assert (found.exit_code, [one.outcome for one in found.lines]) == (4, ["met"])
    assert "damaged, damaged on purpose, was not found worse" in found.invalid[0]


def test_a_plan_says_beforehand_what_a_gate_takes(tmp_path: Path) -> None:
    study = write(tmp_path / "s", gate={"require": [{"non_inferior": "1pp"}]})
    (said,) = quantrial.plan(study).gate
    assert said.startswith("sums: to rule out a loss of 1 pp takes 298 items if no answer changes")
    assert said.endswith("you have 200: this gate cannot pass.")
    other = tmp_path / "gate.yaml"
    for loss, end in (("2pp", "this gate may well end undecided"), ("10pp", "enough")):
        other.write_text(f"require: [{{non_inferior: {loss}}}]", encoding="utf-8")
        (said,) = quantrial.plan(study, gate=other).gate
        assert said.endswith(f"you have 200: {end}.")
    other.write_text("require: [{task: sum, non_inferior: 2pp}]", encoding="utf-8")
    done = quantrial_("plan", study, "--gate", other)
    assert done.returncode == 2
    assert "did you mean 'sums'?" in done.stderr
    assert "gate: sums: to rule out" in quantrial_("plan", study).stdout


def test_a_gate_is_part_of_the_study_and_none_leaves_the_hash(tmp_path: Path) -> None:
    without = load_study(write(tmp_path / "a"))
    assert "gate" not in without.canonical()
    with_it = load_study(write(tmp_path / "b", gate={"require": [{"non_inferior": "2pp"}]}))
    assert with_it.hash != without.hash


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"requires": []}, "gate.requires: unknown key; did you mean 'require'?"),
        ({"require": [{"non_inferio": "2pp"}]}, "did you mean 'non_inferior'?"),
        ({"require": [{"task": "sums"}]}, "asks for nothing"),
        ({"require": [{"non_inferior": "2pp", "at_least": 0.5}]}, "give exactly one of"),
        ({"require": [{"non_inferior": "2"}]}, "did you mean 2pp?"),
        ({"arms": ["rigth"], "require": [{"non_inferior": "2pp"}]}, "did you mean 'right'?"),
        ({"require": [{"task": "sum", "non_inferior": "2pp"}]}, "did you mean 'sums'?"),
        ({"require": [{"endpoint": "acuracy", "at_least": 0.5}]}, "did you mean 'accuracy'?"),
        ({"must_pass": ["subject=none"]}, "has no item 'subject=none'"),
        ({}, "requires nothing"),
    ],
)
def test_wrong_use_names_the_key_and_the_nearest(
    run: Path, said: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as caught:
        quantrial.check_gate(run, said)
    assert words in str(caught.value)


def test_the_command_ends_in_the_codes_and_writes_its_files(run: Path, tmp_path: Path) -> None:
    loss = ["--non-inferior", "2pp"]
    for name, code in (("right", 0), ("worse", 1), ("few", 3), ("many", 4)):
        files = ["--junit", str(tmp_path / "gate.xml"), "--summary", str(tmp_path / "step.md")]
        done = quantrial_("gate", run, "--arm", name, *loss, *files)
        assert done.returncode == code, done.stderr
        assert f"(exit {code})" in done.stdout
    assert (tmp_path / "step.md").read_text(encoding="utf-8").count("<!-- quantrial:gated -->") == 4
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().tag == "testsuites"
    assert quantrial_("gate", run).returncode == 2
    assert quantrial_("gate", run, "--arm", "right").returncode == 2
    (tmp_path / "gate.yaml").write_text("gate: {arms: [right], require: [{non_inferior: 2pp}]}")
    done = quantrial_("gate", run, "--gate", tmp_path / "gate.yaml", "--json")
    assert json.loads(done.stdout)["outcome"] == "met"


def test_junit_tells_a_loss_from_what_is_undecided_or_invalid(run: Path) -> None:
    found = gate(run, "right", "worse", "few", "many", non_inferior="2pp")
    (suite,) = ElementTree.fromstring(junit(found).encode()).iter("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "2")
    kinds = {
        one.get("type"): one.get("message")
        for one in suite.iter()
        if one.tag in ("failure", "error")
    }
    assert kinds.keys() == {"loss", "inconclusive", "invalid"}
    assert "\N{MINUS SIGN}" in str(kinds["loss"])
    assert next(iter(suite)).tag == "properties"


def test_junit_keeps_to_the_schema_of_jenkins(run: Path) -> None:
    """Against Jenkins' own file, see its head; what stands elsewhere is refused by it."""
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    found = gate(run, "right", "worse", "few", "many", non_inferior="2pp")
    odd = replace(found.lines[0], text="\x1b\x00\ud800\ufffe]]>", requirement="a\x0bb")
    for result in (
        found,
        replace(found, invalid=("The control was not seen.",)),
        replace(found, lines=()),
        replace(found, lines=(odd,)),
    ):
        schema.assertValid(etree.fromstring(junit(result).encode()))
    misplaced = junit(found).replace("</testcase>", "<properties/></testcase>", 1)
    assert not schema.validate(etree.fromstring(misplaced.encode()))


def test_hostile_names_are_inert_and_lengths_bounded(run: Path) -> None:
    found = gate(run, "right", non_inferior="2pp")
    bad = replace(found.lines[0], text="\x1b[31m\ud800 @all <b>`|" + "x" * 10_000)
    hostile = replace(found, study="a--><script>", lines=(bad,) * 200)
    ElementTree.fromstring(junit(hostile).encode())
    text = markdown(hostile)
    assert len(text) <= 65_536
    assert "more requirements" in text
    assert "\x1b" not in text
    assert "<b>" not in text
    assert "@all" not in text
    assert text.splitlines()[0].count("-->") == 1


def test_what_is_not_met_names_the_items_that_turned(run: Path) -> None:
    found = quantrial.check_gate(
        run, {"arms": ["right", "worse"], "require": [{"non_inferior": "2pp"}]}
    )
    right, worse = found.lines
    assert right.items == ()
    flips = [row for row in quantrial.results(run).flips if row["candidate"] == "worse"]
    turned = {
        row["item"] for row in flips if row["flip"] == "harmful" and row["reference"] == "f16"
    }
    assert turned
    assert {*worse.items} == turned
    text = markdown(found)
    assert f"- worse on sums ({len(turned):,}): " in text
    assert text.count("<details>") == text.count("</details>")
    long = replace(worse, items=tuple(f"{n}|<b>@" + "x" * 400 for n in range(5_000)))
    text = markdown(replace(found, lines=(long,) * 300))
    assert len(text) <= 60_000
    assert "<b>" not in text


@pytest.mark.parametrize("loss", [0.01, 0.02, 0.05])
def test_the_fewest_items_are_those_of_the_test_by_property(loss: float) -> None:
    from quantrial.stats import score_flips

    least = fewest_items(loss, 0.05)
    assert score_flips(0, 0, n=least).test(-loss, "greater").p_value < 0.05
    assert score_flips(0, 0, n=least - 1).test(-loss, "greater").p_value >= 0.05
    assert 2.7055 / loss * 0.9 < least < 2.7055 / loss * 1.2  # z^2 / margin, uncorrected
