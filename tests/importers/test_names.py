"""Tasks of one's own carry the names that were given, and keep what the log holds of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import quantrial
from command import command
from importers.fabricated import answers, import_reference, read_rows, write_rows
from quantrial.errors import DataError, StudyError
from quantrial.importers import ImportOptions, parse_named_task
from quantrial.runfolder import RunFolder
from quantrial.study import load_study

TICKETS = "tickets=routing:choice:support"
QUEUES = ["billing", "technical", "sales", "other"]


def ticket(arm: str, i: int, **changes: Any) -> dict[str, Any]:
    gold = "ABCD"[i % 4]
    wrong = arm == "q4" and i % 10 == 0
    return {
        "example_id": f"t{i}",
        "arm": arm,
        "task": "tickets",
        "gold": gold,
        "output": "ABCD"[(i + 1) % 4] if wrong else gold,
        "score": 0.0 if wrong else 1.0,
        "question": f"Ticket {i}: my invoice is wrong.",
        "options": QUEUES,
        "prompt": f"Which queue?\n\nTicket {i}: my invoice is wrong.",
        **changes,
    }


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    for arm in ("f16", "q4"):
        write_rows(folder / f"tickets_{arm}.jsonl", (ticket(arm, i) for i in range(60)))
    return folder


def named(*tasks: str, **more: Any) -> ImportOptions:
    return ImportOptions(named=tuple(map(parse_named_task, tasks)), **more)


def test_a_task_of_ones_own_carries_the_names_that_were_given(
    tickets: Path, tmp_path: Path
) -> None:
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    assert report.tasks == ("routing",)
    run = RunFolder(report.folder)
    study = load_study(run.study_path)
    assert list(study.tasks) == ["routing"]
    assert (study.tasks["routing"].kind, study.tasks["routing"].workload) == ("choice", "support")
    assert run.read_manifest().tasks["routing"]["workload"] == "support"
    quantrial.analyze(run.path)
    quantrial.decide(run.path)
    quantrial.report(run.path)
    for path in run.path.rglob("*"):
        if path.is_file():
            assert b"mmlu" not in path.read_bytes().lower(), path


def test_a_model_card_speaks_of_the_task_that_was_asked(tickets: Path, tmp_path: Path) -> None:
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    done = [
        command(*words, env={**os.environ, "COLUMNS": "100"}).stdout
        for words in (
            ("analyze", str(run)),
            ("decide", str(run)),
            ("report", str(run), "--format", "model-card"),
        )
    ]
    assert "routing" in done[2]
    assert "support" in done[2]
    assert "mmlu" not in done[2].lower()


def test_texts_and_prompts_of_the_log_are_kept(tickets: Path, tmp_path: Path) -> None:
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    run = RunFolder(report.folder)
    item = run.read_items()["routing"][7]
    assert item.content == {
        "example_id": "t7",
        "question": "Ticket 7: my invoice is wrong.",
        "options": QUEUES,
        "prompt": "Which queue?\n\nTicket 7: my invoice is wrong.",
    }
    assert not any("not kept" in note for note in report.notes)
    shown = {run.read_responses("routing", arm)[7].prompt_sha256 for arm in ("f16", "q4")}
    assert len(shown) == 1
    assert None not in shown


def test_arms_that_were_shown_other_prompts_are_found(tickets: Path, tmp_path: Path) -> None:
    path = tickets / "tickets_q4.jsonl"
    rows = read_rows(path)
    for row in rows[:12]:
        row["prompt"] = f"Answer at once. {row['prompt']}"
    write_rows(path, rows)
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    found = quantrial.analyze(run)
    assert found["tasks"]["routing"]["flow"]["unlike_items"] == 12
    (check,) = [one for one in found["assay"] if one["id"] == "prompts"]
    assert check["status"] == "fail"


def test_what_arms_say_differently_of_an_item_is_not_kept(tickets: Path, tmp_path: Path) -> None:
    path = tickets / "tickets_q4.jsonl"
    rows = read_rows(path)
    rows[3]["question"] = "Another text."
    write_rows(path, rows)
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    assert "question" not in RunFolder(report.folder).read_items()["routing"][3].content
    assert any("differ between arms" in note and "question" in note for note in report.notes)


@pytest.mark.parametrize("options", [["yes", "no"], "A or B", [1, 2, 3, 4], None])
def test_options_that_the_gold_does_not_fit_are_letters(
    tickets: Path, tmp_path: Path, options: Any
) -> None:
    for path in tickets.glob("*.jsonl"):
        write_rows(path, [row | {"options": options} for row in read_rows(path)])
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    item = RunFolder(run).read_items()["routing"][3]
    assert item.content["options"] == list("ABCD")


def test_a_task_is_selected(tickets: Path, tmp_path: Path) -> None:
    for name, rows in answers().items():
        arm = {"fp16": "f16", "q4_K_M": "q4"}.get(name.split("_", 1)[1])
        if arm is not None:
            bare = [{k: v for k, v in row.items() if k != "arm"} for row in rows]
            write_rows(tickets / f"{name.split('_')[0]}_{arm}.jsonl", bare)
    options = named(TICKETS, tasks=("routing", "extraction"))
    assert import_reference(tickets, tmp_path / "one", options=options).tasks == (
        "routing",
        "extraction",
    )
    options = named(TICKETS, tasks=("tickets",))  # by the name of its files too
    assert import_reference(tickets, tmp_path / "two", options=options).tasks == ("routing",)
    assert import_reference(tickets, tmp_path / "all", options=named(TICKETS)).tasks == (
        "routing",
        "mmlu",
        "extraction",
    )
    with pytest.raises(StudyError, match="there is no task 'sums'; there are routing, mmlu, extr"):
        import_reference(tickets, tmp_path / "run", options=named(TICKETS, tasks=("sums",)))


def test_the_longest_name_of_files_counts(tickets: Path, tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        rows = [ticket(arm, i, task="tickets_new") for i in range(20)]
        write_rows(tickets / f"tickets_new_{arm}.jsonl", rows)
    options = named(TICKETS, "tickets_new=later:choice:support")
    report = import_reference(tickets, tmp_path / "run", options=options)
    assert (report.tasks, report.arms) == (("routing", "later"), ("f16", "q4"))


def test_published_tasks_may_be_renamed(published: Path, tmp_path: Path) -> None:
    options = named("mmlu=triage:choice:support")
    report = import_reference(published, tmp_path / "run", options=options)
    assert report.tasks == ("triage", "extraction")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tickets", "is not of the form OLD=name:kind:workload"),
        ("tickets=routing", "is not of the form"),
        ("tickets=routing:choice", "is not of the form"),
        ("=routing:choice:support", "is not of the form"),
        ("tickets=routing:choice:support:more", "is not of the form"),
        ("tickets=routing:labels:support", "'labels' .* is no kind of task; there are choice, spa"),
        ("tickets=a.b:choice:support", "'a.b' is no name of a task"),
        ("tickets=:choice:support", "is not of the form"),
    ],
)
def test_a_name_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        parse_named_task(text)


def test_two_tasks_of_one_name_are_refused(tickets: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="two tasks have the name 'mmlu'"):
        import_reference(tickets, tmp_path / "run", options=named("tickets=mmlu:choice:support"))


def test_files_of_unnamed_tasks_say_how_to_name_them(tickets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        import_reference(tickets, tmp_path / "run")
    assert "there are tickets_f16.jsonl, tickets_q4.jsonl" in str(caught.value)
    assert "`--name-task OLD=name:kind:workload`" in str(caught.value)


def test_imports_are_analysed_by_the_calibrated_methods(tickets: Path, tmp_path: Path) -> None:
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    assert quantrial.analyze(run)["methods"] == "calibrated"
    assert quantrial.analyze(run, methods="classic")["methods"] == "classic"


def test_the_other_rule_for_letters_is_suggested(tickets: Path, tmp_path: Path) -> None:
    # "A" in "Answer" is the first letter; the recorded scores were made by reading the answer
    for path in tickets.glob("*.jsonl"):
        rows = read_rows(path)
        for row in rows:
            row["output"] = f"The Answer is {row['output']}."
        write_rows(path, rows)
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    # of 120 answers the 30 whose gold is A are right either way, less the wrong ones of q4
    wrong = sum(one.recorded != one.derived for one in report.score_differences)
    note = next(note for note in report.notes if "answer_letter" in note)
    assert note.startswith(f"routing: {wrong} of 120 recorded scores differ from first_letter, 0 ")
    assert "`--scoring answer_letter` reads letters that way." in note
    options = named(TICKETS, scoring="answer_letter")
    report = import_reference(tickets, tmp_path / "two", options=options)
    assert not any("differ" in note for note in report.notes)


def test_scores_of_another_rule_altogether_are_said_to_be(tickets: Path, tmp_path: Path) -> None:
    path = tickets / "tickets_q4.jsonl"
    write_rows(path, [row | {"score": 0.5} for row in read_rows(path)])
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    assert any("they were made by another rule" in note for note in report.notes)


def test_the_command_line_names_and_selects(tickets: Path, tmp_path: Path) -> None:
    words = ("-o", tmp_path / "run", "--name-task", TICKETS, "--task", "routing", "--json")
    done = command("import", "reference", tickets, *words)
    assert json.loads(done.stdout)["tasks"] == ["routing"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"named": ("tickets=routing:choice:support", "tikets=other:choice:x")}, "name-task"),
        ({"named": (TICKETS, "ticket=short:spans:x")}, "name-task"),
        ({"named": (TICKETS,), "tasks": ("tickets", "extraction")}, "task"),
    ],
)
def test_a_task_asked_for_by_name_that_has_no_file_is_refused(
    tickets: Path, tmp_path: Path, options: dict[str, Any], key: str
) -> None:
    """A misspelt name would else go unnoticed."""
    named = tuple(map(parse_named_task, options["named"]))
    with pytest.raises(StudyError, match=r"there is no file \w+_<arm>\.jsonl") as caught:
        import_reference(
            tickets,
            tmp_path / "run",
            options=ImportOptions(named=named, tasks=options.get("tasks", ())),
        )
    assert caught.value.key == key
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["thought", "thinking", "reasoning_content", "reasoning"])
def test_what_a_log_holds_of_thoughts_is_kept(tickets: Path, tmp_path: Path, key: str) -> None:
    """An answer that is empty beside them was not given: a setting, not a quality."""
    rows = read_rows(tickets / "tickets_q4.jsonl")
    for row in rows[::3]:
        row |= {key: f"It may be {row['gold']}.", "output": "", "score": 0.0}
    write_rows(tickets / "tickets_q4.jsonl", rows)
    import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    responses = RunFolder(tmp_path / "run").read_responses("routing", "q4")
    assert sum(one.thought is not None for one in responses) == 20
    quantrial.analyze(tmp_path / "run")
    cautions = [one["text"] for one in quantrial.decide(tmp_path / "run")["cautions"]]
    [said] = [text for text in cautions if "That is a setting, not quality." in text]
    assert "20 of 60 answers of q4" in said


def test_what_is_no_text_is_no_thought(tickets: Path, tmp_path: Path) -> None:
    rows = read_rows(tickets / "tickets_q4.jsonl")
    rows[2]["reasoning"] = {"effort": "low"}
    write_rows(tickets / "tickets_q4.jsonl", rows)
    report = import_reference(tickets, tmp_path / "run", options=named(TICKETS))
    assert "tickets_q4.jsonl: these keys are not kept: reasoning." in report.notes


@pytest.mark.parametrize("holds", [("question", "prompt"), ("prompt",), ("question",)])
def test_every_item_twice_under_two_names_is_one_cluster(
    tickets: Path, tmp_path: Path, holds: tuple[str, ...]
) -> None:
    for arm in ("f16", "q4"):
        rows = [ticket(arm, i) for i in range(60)]
        rows += [ticket(arm, i) | {"example_id": f"again{i}"} for i in range(60)]
        bare = [
            {k: v for k, v in row.items() if k not in ("question", "prompt") or k in holds}
            for row in rows
        ]
        write_rows(tickets / f"tickets_{arm}.jsonl", bare)
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    found = quantrial.analyze(run)["tasks"]["routing"]
    assert found["alike"] == {"repeated_items": 120, "clustered": True}
    [contrast] = found["endpoints"]["accuracy"]["contrasts"]
    assert contrast["ci_method"] == "score-clusters"


def test_items_of_which_a_log_holds_no_text_are_not_known_to_be_equal(
    tickets: Path, tmp_path: Path
) -> None:
    for arm in ("f16", "q4"):
        rows = [ticket(arm, i) for i in range(60)]
        bare = [{k: v for k, v in row.items() if k not in ("question", "prompt")} for row in rows]
        write_rows(tickets / f"tickets_{arm}.jsonl", bare)
    run = import_reference(tickets, tmp_path / "run", options=named(TICKETS)).folder
    assert "repeated_items" not in quantrial.analyze(run)["tasks"]["routing"].get("alike", {})
