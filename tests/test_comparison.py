"""Runs beside each other: paired on what both have, by the statistics of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from analysis.test_speed_phase import call
from command import command
from quantrial.errors import RecordError, RecordWarning, RunChangedError, StudyError
from studies import arm, read_lines, write_study


def answered(folder: Path, name: str, **changes: Any) -> Path:
    quantrial.run(write_study(folder / f"{name}-study", **changes), out=folder / name)
    return folder / name


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answered(tmp_path_factory.mktemp("compare"), "one")


def other_arms(**changes: Any) -> dict[str, Any]:
    spans = '[{"text": "Ada", "type": "PER"}]'
    return {
        "f16": arm("f16", 400, ["A", "A", "A", spans, spans]),
        "q8_0": arm("q8", 200, ["A", "B", "C", "[]", spans]),
        "q4_0": arm("q4", 100, ["A", "B", "C", "[]", spans]),
    } | changes


def outputs(run: Path, task: str, name: str) -> dict[str, str]:
    lines = read_lines(run / "responses" / f"{task}.{name}.jsonl")
    return {line["item"]: line["output"] for line in lines if line["replicate"] == 0}


def primary(found: dict[str, Any], name: str, task: str) -> dict[str, Any]:
    part = found["arms"][name][task]
    (one,) = part["endpoints"][part["primary"]]["contrasts"]
    return dict(one)


def test_a_run_beside_its_twin_shows_no_difference(first: Path, tmp_path: Path) -> None:
    found = quantrial.compare(first, answered(tmp_path, "two"))
    assert found["reference"] == "one"
    assert found["changes"][0]["text"] == "The pick is the same in every run: f16."
    for tasks in found["arms"].values():
        for part in tasks.values():
            (one,) = part["endpoints"][part["primary"]]["contrasts"]
            assert (one["reference"], one["candidate"], one["estimate"]) == ("one", "two", 0)
            for name, results in part["endpoints"].items():
                # a primary endpoint is a family of its own, as in a summary
                alone = name == part["primary"]
                assert all(("p_alarm" in each) is not alone for each in results["contrasts"])
            (flips,) = part["flips"]
            assert (flips["harmful"], flips["beneficial"], flips["churn"]) == (0, 0, 0)
            assert part["same_texts"] == {"two": part["items"]}
    assert found["differ"] == []
    told = [one["text"] for one in found["changes"] if one["kind"] == "contrast"]
    assert all(f"gave the same {n} answers, word for word" in one for n, one in zip(
        [24, 12] * 3, told, strict=True
    ))  # fmt: skip


def test_the_contrast_of_a_changed_arm_by_hand(first: Path, tmp_path: Path) -> None:
    second = answered(tmp_path, "two", arms=other_arms())
    found = quantrial.compare(first, second)
    before, after = (outputs(run, "sums", "q8_0") for run in (first, second))
    right = {item["id"]: item for item in read_lines(first / "items.jsonl")}
    gold = {name: "ABCD"[item["gold"]] if isinstance(item["gold"], int) else item["gold"]
            for name, item in right.items()}  # fmt: skip
    harmful = sum(before[i] == gold[i] != after[i] for i in before)
    beneficial = sum(after[i] == gold[i] != before[i] for i in before)
    assert harmful > 0
    one = primary(found, "q8_0", "sums")
    assert one["n"] == len(before) == 24
    assert one["estimate"] == pytest.approx((beneficial - harmful) / 24)
    (flips,) = found["arms"]["q8_0"]["sums"]["flips"]
    assert (flips["harmful"], flips["beneficial"]) == (harmful, beneficial)
    told = [c["text"] for c in found["changes"] if c.get("arm") == "q8_0" and c["task"] == "sums"]
    assert (
        f"on 24 items: {one['verdict'].replace('_', '-')}; {harmful} answers no longer right"
        in (told[0])
    )
    # an arm that did not change shows no difference
    assert primary(found, "f16", "sums")["estimate"] == 0


def test_the_statistics_are_those_that_were_asked_for(first: Path, tmp_path: Path) -> None:
    second = answered(tmp_path, "two", arms=other_arms())
    for methods in ("classic", "calibrated"):
        pooled = quantrial.compare(first, second, methods=methods)
        one = primary(pooled, "q8_0", "sums")
        assert one["confidence"] == 0.95
        assert one["family"] == "sums.accuracy"
        assert ("score" in one["ci_method"]) is (methods == "calibrated")


def test_only_items_that_both_have_count(first: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "half-study")
    data = yaml.safe_load(study.read_text())
    data["tasks"]["sums"]["sample"] = 12
    data["tasks"]["names"]["margin"] = 0.2
    study.write_text(yaml.safe_dump(data))
    quantrial.run(study, out=tmp_path / "half")
    found = quantrial.compare(first, tmp_path / "half")
    part = found["arms"]["q8_0"]["sums"]
    assert (part["items"], part["left_out"]) == (12, {"one": 12, "half": 0})
    assert primary(found, "q8_0", "sums")["n"] == 12
    assert "half and one have different margins on names; one's is used here." in found["differ"]


PHASE = {"prompt_tokens": [20], "output_tokens": [11], "blocks": 2, "time_limit": 1.0}


def with_speed(folder: Path, name: str, rates: dict[str, list[float]]) -> Path:
    """Answer the small study and put a speed phase into its folder: seconds for ten tokens."""
    study = write_study(folder / f"{name}-study", speed=PHASE)
    run = folder / name
    quantrial.run(study, out=run, speed=False)
    lines = [
        call(arm, block, seconds).to_json()
        for arm, by_block in rates.items()
        for block, seconds in enumerate(by_block)
    ]
    (run / "speed.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return run


def test_speeds_are_of_the_speed_phases_by_hand(tmp_path: Path) -> None:
    # f16: 30 tokens in 6 s, then in 3 s; q8_0: in 3 s both times
    before = with_speed(tmp_path, "one", {"f16": [1, 2, 3], "q8_0": [1, 1, 1], "q4_0": [1, 1, 1]})
    after = with_speed(tmp_path, "two", {"f16": [1, 1, 1], "q8_0": [1, 1, 1], "q4_0": [3, 2, 4]})
    found = quantrial.compare(before, after)
    speeds = found["speeds"]
    assert speeds["f16"]["two"]["rate"]["estimate"] == pytest.approx(2.0)
    assert speeds["f16"]["two"]["lead"] is None
    low, high = speeds["f16"]["two"]["rate"]["ci"]
    assert low < 2.0 < high
    # twice the reference's speed before, the same as its speed after
    assert speeds["q8_0"]["two"]["rate"]["estimate"] == pytest.approx(1.0)
    assert speeds["q8_0"]["two"]["lead"]["estimate"] == pytest.approx(0.5)
    assert speeds["q4_0"]["two"]["lead"]["estimate"] == pytest.approx(0.5 / 3)
    assert speeds["q4_0"]["two"]["lead"]["n"] == 6
    told = [one["text"] for one in found["changes"] if one["kind"] == "speed"]
    assert told[1].startswith("q8_0 in two decodes at 1.00 times (no interval) its speed in one")
    assert "its speed relative to f16 is 0.50 times (" in told[1]
    assert told[2].endswith("what it was: it lost.")
    assert not any("of its answers" in one["text"] for one in found["changes"])


def test_without_phases_of_the_same_lengths_speeds_are_of_the_answers(
    first: Path, tmp_path: Path
) -> None:
    phased = with_speed(tmp_path, "two", {"f16": [1, 2], "q8_0": [1, 1], "q4_0": [1, 1]})
    found = quantrial.compare(first, phased)
    assert found["speeds"] == {}
    said = "two and one have no speed phase of the same lengths; speeds are those of the answers."
    assert said in found["differ"]
    one = found["arms"]["q8_0"]["sums"]["answer_speed"]["two"]
    assert one["ci"][0] < one["estimate"] < one["ci"][1]
    assert any("the decoding speed, of its answers" in c["text"] for c in found["changes"])


def test_three_runs_and_arms_that_not_all_have(first: Path, tmp_path: Path) -> None:
    two = answered(tmp_path, "two")
    three = answered(tmp_path, "three", arms={k: v for k, v in other_arms().items() if k != "q4_0"})
    found = quantrial.compare(first, two, three)
    assert set(found["runs"]) == {"one", "two", "three"}
    contrasts = found["arms"]["q8_0"]["sums"]["endpoints"]["accuracy"]["contrasts"]
    pairs = {(c["reference"], c["candidate"]) for c in contrasts}
    assert pairs == {("one", "two"), ("one", "three"), ("two", "three")}
    (only,) = found["arms"]["q4_0"]["sums"]["endpoints"]["accuracy"]["contrasts"]
    assert (only["reference"], only["candidate"]) == ("one", "two")
    assert "Only one of three and one has the arm q4_0." in found["differ"]
    assert {row["run"] for row in found["rows"]} == {"one", "two", "three"}
    for row in found["rows"]:
        if row["primary"]:
            summary = json.loads(
                ({"one": first, "two": two, "three": three}[row["run"]] / "summary.json")
                .read_bytes()
            )  # fmt: skip
            own = summary["tasks"][row["task"]]["endpoints"][row["endpoint"]]["arms"][row["arm"]]
            assert row["estimate"] == own["estimate"]


def test_other_words_are_not_compared_silently(first: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path / "s")
    data = yaml.safe_load(study.read_text())
    data["tasks"]["sums"]["system"] = "Think twice."
    study.write_text(yaml.safe_dump(data))
    quantrial.run(study, out=tmp_path / "reworded")
    found = quantrial.compare(first, tmp_path / "reworded")
    assert set(found["arms"]["f16"]) == {"names"}
    said = "24 items of sums were asked in other words in reworded and one, and left out."
    assert said in found["differ"]


def test_what_cannot_be_compared(first: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="two run folders or more are needed"):
        quantrial.compare(first)
    with pytest.raises(StudyError, match="the same run folder is given twice"):
        quantrial.compare(first, first / ".." / first.name)
    arms = {"a": other_arms()["f16"], "b": other_arms()["q8_0"]}
    strange = answered(tmp_path, "strange", arms=arms, reference="a")
    with pytest.raises(StudyError, match="one shares no arm, task and answered item with strange"):
        quantrial.compare(first, strange)


def test_runs_of_the_same_name_are_told_apart(first: Path, tmp_path: Path) -> None:
    found = quantrial.compare(first, answered(tmp_path, "one"))
    assert list(found["runs"]) == [f"{first.parent.name}/one", f"{tmp_path.name}/one"]


def test_on_the_command_line(first: Path, tmp_path: Path) -> None:
    second = answered(tmp_path, "two", arms=other_arms())
    said = command("compare", first, second).stdout
    assert "Each arm with itself, against one:" in said
    assert "answers no longer right" in " ".join(said.split())
    assert "answers no longer wholly right" in " ".join(said.split())  # of micro-F1
    found = command("compare", first, second, "--json").stdout
    assert json.loads(found)["schema"] == "quantrial.comparison/1"
    alone = command("compare", first)
    assert (alone.returncode, alone.stderr) == (
        2,
        "error: RUN: two run folders or more are needed\n",
    )


def test_the_example_beside_its_copy(tmp_path: Path) -> None:
    # a study with a speed phase, and a control arm that the phase leaves out
    example = Path(__file__).parents[1] / "examples" / "demo"
    copy = shutil.copytree(example, tmp_path / "copy")
    found = quantrial.compare(example, copy)
    assert found["arms"].keys() == {"f16", "q8_0", "q4_0", "rounded"}
    for parts in found["arms"].values():
        for part in parts.values():
            assert part["same_texts"] == {"copy": part["items"]}
    assert found["speeds"].keys() == {"f16", "q8_0", "q4_0"}


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")


def test_what_was_edited_in_a_folder_is_found(first: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(first, tmp_path / name))

    quantrial.report(first)
    older = r"summary\.json was older than the responses"
    studied = copy("study")
    edit(studied / "study.yaml", ("seed: 1", "seed: 2"))
    changed = pytest.raises(RunChangedError, match=r"study\.yaml was edited")
    with pytest.warns(RecordWarning, match=older), changed:
        quantrial.compare(first, studied)
    items = copy("items")
    edit(items / "items.jsonl", ('"gold":', '"gold": '), ("What is", "What was"))
    with pytest.warns(RecordWarning, match=older), pytest.raises(RecordError, match="was edited"):
        quantrial.compare(items, first)
    listed = copy("manifest")
    edit(listed / "manifest.json", ('"host": {', '"host": 1, "was": {'))
    with pytest.raises(RecordError, match=r"manifest\.json"):
        quantrial.compare(first, listed)
    # edited answers are analysed again, which a warning says
    answered = copy("answers")
    edit(answered / "responses" / "sums.q8_0.jsonl", ('"output":"A"', '"output":"B"'))
    with pytest.warns(RecordWarning, match=older):
        found = quantrial.compare(first, answered)
    assert found["arms"]["q8_0"]["sums"]["same_texts"] == {"answers": 23}
