"""`verify` on a run that is right, and on the same run with one thing edited."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import quantrial
from quantrial.errors import QuantrialError, RecordError, RecordWarning
from studies import write_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    run = quantrial.run(write_study(folder), out=folder / "run").folder
    quantrial.analyze(run)
    quantrial.decide(run)
    quantrial.report(run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def drifts(run: Path) -> list[str]:
    return [str(drift) for drift in quantrial.verify(run).drifts]


def test_an_untouched_run_verifies(run: Path) -> None:
    found = quantrial.verify(run)
    assert found.ok
    assert found.drifts == ()


def test_deriving_again_gives_the_same_bytes(run: Path) -> None:
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    quantrial.analyze(run)
    quantrial.decide(run)
    quantrial.report(run)
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


@pytest.mark.usefixtures("undrawn")
def test_an_edited_answer_is_named(run: Path) -> None:
    edit(run / "responses/sums.q4_0.jsonl", '"output":"A"', '"output":"B"')
    found = drifts(run)
    assert any(d.startswith("responses/sums.q4_0.jsonl: sha256") for d in found)
    assert any("tasks.sums.endpoints.accuracy.arms.q4_0.estimate" in d for d in found)


@pytest.mark.usefixtures("undrawn")
def test_an_edit_that_changes_no_number_is_still_named(run: Path) -> None:
    edit(run / "responses/sums.q4_0.jsonl", '"output":"A"', '"output":"A "')
    assert any(d.startswith("responses/sums.q4_0.jsonl: sha256") for d in drifts(run))


def test_an_edited_order_is_named_with_its_item(run: Path) -> None:
    path = run / "responses/sums.f16.jsonl"
    record = json.loads(path.read_text().splitlines()[0])
    edit(path, f'"order":{record["order"]},', '"order":999,')
    assert any("order and block" in d and record["item"] in d for d in drifts(run))


def test_a_prompt_that_one_arm_alone_saw_is_named(run: Path) -> None:
    path = run / "responses/names.q8_0.jsonl"
    record = json.loads(path.read_text().splitlines()[0])
    edit(path, record["prompt_sha256"], "0" * 64)
    assert any("prompt_sha256" in d and record["item"] in d for d in drifts(run))


def test_a_decision_under_other_constraints_says_to_report_again(run: Path) -> None:
    quantrial.decide(run, quantrial.Constraints(max_memory=150))
    assert drifts(run) == [
        "report.md: constraints: recorded none, decision.json was made under --max-memory 150B "
        f"since; `quantrial report {run}` writes the report of that decision"
    ]
    quantrial.report(run)
    assert drifts(run) == []
    # what the report says of them, and that they are kept until somebody decides anew
    quantrial.report(run)
    assert "Stated as options of quantrial decide:" in (run / "report.md").read_text("utf-8")
    quantrial.decide(run)
    assert drifts(run) == [
        "report.md: constraints: recorded --max-memory 150B, decision.json was made under no "
        f"constraints since; `quantrial report {run}` writes the report of that decision"
    ]


def test_a_summary_by_the_other_methods_says_what_to_run(run: Path) -> None:
    quantrial.decide(run, quantrial.Constraints(max_memory=150))
    quantrial.report(run)
    quantrial.analyze(run, methods="classic")
    assert drifts(run) == [
        "decision.json: methods: recorded calibrated, summary.json was made by classic since; "
        f"`quantrial decide {run} --max-memory 150B`, then `quantrial report {run}`"
    ]


def test_an_edited_report_is_still_found_by_its_line(run: Path) -> None:
    quantrial.decide(run, quantrial.Constraints(max_memory=150))
    quantrial.report(run)
    edit(run / "report.md", "Memory:", "Memory, ")
    (found,) = drifts(run)
    assert found.startswith("report.md: line ")
    assert "constraints" not in found.split(":")[1]


@pytest.mark.usefixtures("undrawn")
def test_constraints_of_the_study_file_are_told_apart(tmp_path: Path) -> None:
    study = write_study(tmp_path, decision={"max_memory": "300B", "tolerate": "2pp"})
    run = quantrial.run(study, out=tmp_path / "run").folder
    quantrial.analyze(run)
    told = quantrial.decide(run)["constrained"]
    assert told["of_study"] == ["max_memory", "tolerate"]
    told = quantrial.decide(run, quantrial.Constraints(max_memory=150))["constrained"]
    assert told["of_study"] == ["tolerate"]
    quantrial.report(run)
    text = " ".join((run / "report.md").read_text("utf-8").replace("\\", "").split())
    assert "Stated in the study file: tolerate. The others are options of quantrial decide:" in text
    assert drifts(run) == []
    quantrial.decide(run)
    quantrial.report(run)
    text = (run / "report.md").read_text("utf-8")
    assert "Stated in the study file: options of" in text
    assert drifts(run) == []


def numbers(document: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from numbers(value, (*path, key))
    elif isinstance(document, list):
        for i, value in enumerate(document):
            yield from numbers(value, (*path, i))
    elif isinstance(document, (int, float)) and not isinstance(document, bool):
        yield path


@pytest.mark.parametrize("name", ["summary.json", "decision.json"])
def test_any_single_edited_number_is_named_by_its_key(run: Path, name: str) -> None:
    from quantrial.commands.derived import derive_summary
    from quantrial.commands.verification import document_drifts
    from quantrial.decision import decide_from

    recorded = json.loads((run / name).read_text())
    summary = derive_summary(run)
    derived = summary if name == "summary.json" else decide_from(summary)
    # one of each kind: other arms, tasks and places of a list are walked alike
    named = {"f16", "q8_0", "q4_0", "sums", "names"}
    kinds = {
        tuple(0 if isinstance(step, int) or step in named else step for step in path): path
        for path in numbers(recorded)
    }
    assert len(kinds) > 60
    for path in kinds.values():
        holder = recorded
        for step in path[:-1]:
            holder = holder[step]
        value = holder[path[-1]]
        holder[path[-1]] += 0.001 if isinstance(value, float) else 1
        found = [d.key for d in document_drifts(name, recorded, derived)]
        holder[path[-1]] = value
        key = ""
        for step in path:
            key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else step
        assert found == [key]


def nudged(value: object, by: float) -> object:
    """Change every float of a document by a share of itself: what another processor derives."""
    if isinstance(value, dict):
        return {key: nudged(part, by) for key, part in value.items()}
    if isinstance(value, list):
        return [nudged(part, by * (-1) ** i) for i, part in enumerate(value)]
    return value * (1 + by) if isinstance(value, float) else value


@pytest.mark.usefixtures("undrawn")
def test_documents_of_another_kind_of_processor_follow(run: Path) -> None:
    # linear algebra differs in its last bits; pages were made of what was derived there
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(nudged(summary, 1e-13)))
    quantrial.report(run)
    assert json.loads((run / "summary.json").read_text()) != summary
    assert drifts(run) == []


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_an_edited_report_is_named_by_its_line(run: Path, name: str) -> None:
    path = run / name
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if "q4_0" in line)
    lines[at] = lines[at].replace("q4_0", "q9_9")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert any(d.startswith(f"{name}: line {at + 1}") for d in drifts(run))


def _edit_gold(run: Path) -> None:
    edit(run / "items.jsonl", '"gold":"A"', '"gold":"B"')


def _edit_manifest_schema(run: Path) -> None:
    edit(run / "manifest.json", "quantrial.manifest/1", "quantrial.manifest/9")


def _edit_response_schema(run: Path) -> None:
    edit(run / "responses/sums.f16.jsonl", "quantrial.response/2", "quantrial.response/7")


def _edit_study(run: Path) -> None:
    edit(run / "study.yaml", "margin: 0.05", "margin: 0.5")


def _unknown_item(run: Path) -> None:
    path = run / "responses/sums.f16.jsonl"
    record = json.loads(path.read_text().splitlines()[0])
    edit(path, record["item"], "f" * 16)


def _unknown_arm(run: Path) -> None:
    (run / "responses/sums.q2_k.jsonl").write_text("")


def _wrong_file(run: Path) -> None:
    shutil.copy(run / "responses/sums.f16.jsonl", run / "responses/sums.q8_0.jsonl")


def _not_json(run: Path) -> None:
    edit(run / "responses/names.f16.jsonl", '{"study"', '{"study')


def _no_summary(run: Path) -> None:
    (run / "summary.json").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_edit_gold, r"items\.jsonl, line \d+: item '[0-9a-f]{16}' was edited"),
        (_edit_manifest_schema, r"manifest\.json: schema is 'quantrial\.manifest/9'"),
        (_edit_response_schema, r"sums\.f16\.jsonl, line 1: schema is 'quantrial\.response/7'"),
        (_edit_study, r"study\.yaml: study\.yaml was edited"),
        (_unknown_item, r"sums\.f16\.jsonl, line 1: a response to item 'ffffffffffffffff'"),
        (_unknown_arm, r"sums\.q2_k\.jsonl: responses of a task or arm that the study does not"),
        (_wrong_file, r"sums\.q8_0\.jsonl, line 1: holds a response of task 'sums', arm 'f16'"),
        (_not_json, r"names\.f16\.jsonl, line 1: not valid JSON"),
        (_no_summary, r"summary\.json: not there yet: `quantrial analyze`"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(
    run: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(run)
    with pytest.raises(QuantrialError, match=said):
        quantrial.verify(run)


@pytest.mark.parametrize("name", ["pareto.svg", "forest.png"])
def test_an_edited_plot_is_named(run: Path, name: str) -> None:
    path = run / "plots" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert [d.split(":")[0] for d in drifts(run)] == [f"plots/{name}"]


@pytest.mark.parametrize("name", ["forest.svg", "pareto.png", "SHA256SUMS"])
def test_a_missing_plot_is_named(run: Path, name: str) -> None:
    (run / "plots" / name).unlink()
    assert any(d.startswith(f"plots/{name}: file: recorded missing") for d in drifts(run))


def test_an_impossible_time_is_refused_with_its_line(run: Path) -> None:
    edit(run / "responses/sums.f16.jsonl", '"decode":', '"decode":-')
    with pytest.raises(QuantrialError, match=r"sums\.f16\.jsonl, line 1: decode is -"):
        quantrial.verify(run)


def test_a_document_without_its_parts_is_named(run: Path) -> None:
    decision = json.loads((run / "decision.json").read_text())
    del decision["default"]
    (run / "decision.json").write_text(json.dumps(decision))
    assert any(d.startswith("decision.json: default: recorded nothing") for d in drifts(run))


def test_a_summary_that_lacks_what_a_decision_reads_is_no_internal_error(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    del summary["statements"]
    for one in summary["tasks"].values():
        del one["margin"]
    (run / "summary.json").write_text(json.dumps(summary))
    for command in (quantrial.decide, quantrial.report):
        with pytest.raises(
            RecordError, match=r"is missing; another version .* `quantrial analyze`"
        ):
            command(run)
    quantrial.analyze(run)
    quantrial.decide(run)


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_never_older_than_its_summary(run: Path) -> None:
    quantrial.analyze(run, methods="classic")
    quantrial.report(run)
    assert quantrial.verify(run).ok
    assert json.loads((run / "decision.json").read_text())["methods"] == "classic"
    responses = run / "responses/sums.q4_0.jsonl"
    responses.write_text("".join(responses.read_text().splitlines(keepends=True)[:-2]))
    with pytest.warns(RecordWarning, match="older than the responses"):
        quantrial.report(run)
    assert quantrial.verify(run).ok
    assert "2 of 72 planned calls" in (run / "report.md").read_text()


def test_a_missing_report_is_named(run: Path) -> None:
    (run / "report.md").unlink()
    assert any(d.startswith("report.md: file: recorded missing") for d in drifts(run))


def test_constraints_of_the_decision_are_derived_again(run: Path) -> None:
    quantrial.decide(run, quantrial.Constraints(tolerate=0.9, workloads=("reasoning",)))
    quantrial.report(run)
    assert quantrial.verify(run).ok
    edit(run / "decision.json", '"tolerate": 0.9', '"tolerate": 0.0001')
    assert not quantrial.verify(run).ok
