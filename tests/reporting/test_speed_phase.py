from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import quantrial
from benches import Hall, Room
from quantrial.commands.verification import verify_run
from quantrial.decision import decide_from
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.reporting import Results, render
from quantrial.runfolder import RunFolder
from reporting.trials import Trial, markdown_tables

pytestmark = pytest.mark.usefixtures("undrawn")


def documents(hall: Hall) -> dict[str, str]:
    summary = quantrial.analyze(hall.run)
    return rendered(hall, summary)


def rendered(hall: Hall, summary: dict[str, Any]) -> dict[str, str]:
    results = Results(
        hall.study,
        load_summary(summary),
        load_decision(decide_from(summary)),
        RunFolder(hall.run).read_manifest(),
    )
    return render(results).documents


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hall:
    return Hall(tmp_path, monkeypatch)


def rows(text: str, heading: str) -> list[dict[str, str]]:
    [table] = markdown_tables(text)[heading]
    return table


def test_ratios_stand_first_with_their_intervals(hall: Hall) -> None:
    hall.measure()
    text = documents(hall)["report.md"]
    table = rows(text, "Speed against the reference")
    q4 = {row["what"]: row["ratio"] for row in table if row["arm"] == "q4_0"}
    # 100 tokens a second against 50; and names of 4 and 3 letters for processes
    assert (q4["decoding"], q4["reading a prompt"], q4["loading"]) == ("2.00×", "2.00×", "1.00×")
    assert (q4["first token"], q4["memory peak"]) == ("0.50×", "1.33×")
    own = {row["arm"]: row for row in rows(text, "Speed of each arm")}
    assert own["q8_0"]["decoding"] == "80.0 tokens/s"
    assert own["q8_0"]["loading"] == "2.00 s"
    assert own["q8_0"]["energy a token"] == "unknown"
    assert "What to know of these figures" not in text
    assert "Speed was measured one call at a time" in text


def test_marks_are_said_in_words(hall: Hall) -> None:
    hall.abilities = frozenset()
    hall.machine = Room(hall.clock, lambda time: 0.5)
    hall.measure()
    text = documents(hall)["report.md"]
    assert "Other processes took 50.0 % of the CPU time" in text
    assert "calls were made on a busy machine" in text
    assert "The engine of f16 cannot be held to a number of tokens" in text
    assert "other processes were using the machine" in text


def test_every_mark_has_its_sentence(hall: Hall) -> None:
    from quantrial.reporting.glossary import prose

    hall.measure()
    summary = quantrial.analyze(hall.run)
    every: dict[str, Any] = {
        "busy": {"others_share": 0.5, "calls": 3},
        "swap": {"pages": 2},
        "throttled": {"events": 1},
        "battery": {"calls": 1},
        "unwatched": {},
        "time_limit": {"widest": 0.2},
        "no_length": {"widest": None},
        "unfinished": {"widest": None},
        "drift": {"arm": "q4_0", "change": -0.1},
        "own_length": {"arm": "q4_0"},
        "other_length": {"arm": "q4_0", "calls": 2},
        "cache": {"arm": "q4_0"},
        "faults": {"arm": "q4_0", "calls": 1},
        "tokenizer": {"prompt_length": 20, "tokens": {}},
        "too_long": {"prompt_length": 20, "output_length": 11},
    }
    assert every.keys() == prose("marks").keys()
    summary["speed_phase"]["marks"] = [{"mark": mark, **more} for mark, more in every.items()]
    text = rendered(hall, summary)["report.md"]
    section = text.split("What to know of these figures")[1].split("\n#")[0]
    assert section.count("\n- ") == len(every)
    assert "{" not in section
    assert "None" not in section


def test_without_a_phase_the_report_says_where_speed_comes_from(trial: Trial) -> None:
    text = trial.render()["report.md"]
    assert "speed is read off the timings of the answers" in text
    assert "Speed was not measured in a phase of its own" in text


def test_a_phase_that_was_put_off_is_said_to_be(hall: Hall) -> None:
    assert "The speed phase was not run yet" in documents(hall)["report.md"]


def test_html_and_markdown_link_every_finding_of_pace(hall: Hall) -> None:
    hall.measure()
    made = documents(hall)
    for arm in ("q8_0", "q4_0"):
        identity = f"speed.decode.{arm}.vs.f16"
        assert f"[`{identity}`]: #speed-against-the-reference" in made["report.md"]
    assert made["report.html"].count("speed.decode.q4_0.vs.f16") >= 1


def test_verify_derives_the_phase_again_and_names_an_edited_record(hall: Hall) -> None:
    hall.measure()
    quantrial.analyze(hall.run)
    quantrial.decide(hall.run)
    quantrial.report(hall.run)
    assert verify_run(hall.run).ok
    path = hall.run / "speed.jsonl"
    text = path.read_text()
    at = text.index('"decode":', text.index('"kind":"measured"')) + len('"decode":')
    path.write_text(text[:at] + "9" + text[at:])
    drifts = {(drift.file, drift.key.split(".")[0]) for drift in verify_run(hall.run).drifts}
    assert ("speed.jsonl", "sha256") in drifts
    assert ("summary.json", "speed_phase") in drifts


def test_verify_knows_the_prompts_that_the_study_gives(hall: Hall) -> None:
    hall.measure()
    path = hall.run / "speed.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    [digest] = re.findall(r'"prompt_sha256":"(\w+)"', lines[-1])
    path.write_text("".join([*lines[:-1], lines[-1].replace(digest, "0" * 64)]))
    quantrial.analyze(hall.run)
    quantrial.decide(hall.run)
    quantrial.report(hall.run)
    [drift] = verify_run(hall.run).drifts
    assert (drift.file, drift.recorded) == ("speed.jsonl", "0" * 64)
    assert "prompt_sha256" in drift.key
