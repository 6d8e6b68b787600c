"""What people see on a terminal: widths, colours, encodings, and outside text made inert."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import quantrial
from command import command
from quantrial.cli import app, show, tell
from quantrial.cli.options import EXAMPLES
from quantrial.cli.progress import InterimScores, Rate, listening, overall
from quantrial.cli.terminal import Interval, forest_lines
from quantrial.commands.derived import load_manifest
from quantrial.commands.results import load_results
from quantrial.commands.verification import Drift, Verification
from quantrial.inert import clean, harmless, in_json
from quantrial.records import Response
from quantrial.reporting.view import opening
from quantrial.running import Progress
from quantrial.words import verdict
from repetitions import repetitions
from studies import read_lines, write_study

ROOT = Path(__file__).parents[1]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HOSTILE = "a\x1b[31m\x1b]0;title\x07 b\u202egnp.exe\u2066\x9b2Jc\u200b [red]x[/red]"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example") / "demo"
    shutil.copytree(ROOT / "examples" / "demo", folder)
    return folder


def piped(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return command(*words, env={k: v for k, v in os.environ.items() if k != "COLUMNS"} | env)


def on_terminal(*words: str | Path, columns: int = 100, **env: str) -> str:
    """Run a command on a terminal of its own, and return all that it wrote there."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    outer = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    env = outer | {"TERM": "xterm-256color"} | env
    said = b""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(command, *words, env=env, terminal=os.ttyname(slave))
        while select.select([master], [], [], 0.01)[0] or not done.done():
            if select.select([master], [], [], 0)[0]:
                said += os.read(master, 65536)
    os.close(master)
    os.close(slave)
    assert done.result().returncode == 0, said
    return said.decode().replace("\r\n", "\n")


def acting(text: str) -> set[str]:
    """Return the characters that would act instead of being seen."""
    return {c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"}


# Widths, colours, encodings


def test_colours_on_a_terminal_only_and_never_with_no_color(demo: Path) -> None:
    assert ESCAPE.search(on_terminal("decide", demo))
    assert acting(on_terminal("decide", demo, NO_COLOR="1")) == set()
    assert acting(on_terminal("decide", demo, TERM="dumb")) == set()
    assert acting(piped("decide", demo).stdout) == set()


def test_nothing_is_said_by_colour_alone(demo: Path) -> None:
    coloured = ESCAPE.sub("", on_terminal("analyze", demo))
    plain = on_terminal("analyze", demo, NO_COLOR="1")
    words = [re.findall(r"[\w.%−●▼○┊]+", text) for text in (coloured, plain)]
    assert words[0] == words[1]


@pytest.mark.parametrize("command", [("decide",), ("analyze", "--all"), ("report", "--terminal")])
def test_people_read_words_and_no_keys(demo: Path, command: tuple[str, ...]) -> None:
    said = piped(command[0], demo, *command[1:]).stdout
    assert "○ undecided" in said
    assert not re.search(r"inconclusive|non_inferior|assay", said)


@pytest.mark.parametrize("columns", [40, 100])
@pytest.mark.parametrize("command", [("decide",), ("analyze",), ("report", "--terminal")])
def test_lines_fit_the_terminal(demo: Path, command: tuple[str, ...], columns: int) -> None:
    said = on_terminal(command[0], demo, *command[1:], columns=columns, NO_COLOR="1")
    # ids and paths stay in one piece, however long; so do the commands that serve an arm, to copy
    lines = said.partition("\nTo serve ")
    commands = [line for line in lines[2].splitlines() if line.startswith("  llama-server ")]
    assert len(commands) == ("analyze" not in command)
    long = [line for line in said.splitlines() if len(line) > columns and " " in line.strip()]
    long = [line for line in long if not line.startswith(("  llama-server ", "  quantrial "))]
    assert long == []
    assert "q4_0" in said
    assert "…" not in said, "a word is cut"


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_a_plan_is_read_whole_on_any_terminal(tmp_path: Path, columns: int) -> None:
    study = write_study(tmp_path)
    said = on_terminal("plan", study, "--no-probe", columns=columns)
    assert "…" not in ESCAPE.sub("", said)
    assert all(word in said for word in ("detectable", "chance", "not probed"))


def test_many_places_that_differ_are_counted_and_the_way_out_is_named(demo: Path) -> None:
    def drift(file: str, at: int) -> Drift:
        return Drift(file, f"key{at}", 1, "derived 2")

    derived = Verification(demo, tuple(drift("summary.json", i) for i in range(40)), ())
    said = shown_verification(derived)
    assert [line for line in said if line.startswith("summary.json: key")] == [
        f"summary.json: key{i}: recorded 1, derived 2" for i in range(12)
    ]
    assert "summary.json: and 28 more; --json names all" in said
    assert f"{demo}: 40 places differ" in said
    assert "quantrial analyze, decide and report" in " ".join(said)
    twice = Verification(demo, (drift("responses/a.jsonl", 0),) * 2, ())
    assert shown_verification(twice) == [
        "responses/a.jsonl: key0: recorded 1, derived 2",
        f"{demo}: 1 place differs",
    ]


def shown_verification(found: Verification) -> list[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        show.verification(found)
    return printed.getvalue().splitlines()


def test_a_narrow_table_goes_row_by_row(demo: Path) -> None:
    said = piped("decide", demo, COLUMNS="40").stdout
    timed = json.loads((demo / "summary.json").read_text("utf-8"))["speed_phase"]["arms"]
    peaks = [timed[arm]["memory_peak_bytes"] for arm in ("q8_0", "f16")]
    peak = f"{100 * peaks[0] / peaks[1]:.0f} % of f16, at the peak"
    assert f"\n    memory: {peak}\n    speed: " in said
    assert "\n  q8_0\n    type: Q8_0 from Q4_1\n" in said


def test_a_terminal_without_unicode_gets_plain_signs(demo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quantrial", "decide", demo],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "-12.0 pp" in done.stdout
    assert "[---" in done.stdout


def test_the_report_on_the_terminal_has_every_endpoint(demo: Path) -> None:
    said = piped("report", demo, "--terminal").stdout
    assert said.startswith("Stay with f16\n")
    for name in ("micro-F1", "macro-F1", "precision", "recall", "exact match"):
        assert f"\nEstimates: people, {name}\n" in said
        assert f"\nContrasts: people, {name}\n" in said


def test_the_terminal_says_what_the_report_says(demo: Path) -> None:
    """One text in two places: each sentence and cell before the plots."""
    said = " ".join(piped("decide", demo).stdout.split())
    report = (demo / "report.md").read_text("utf-8").replace("\\", "")
    view = opening(*load_results(demo)[1:], load_manifest(demo))
    claims = [view.summary, *(claim for advice in view.advice for claim in advice.claims)]
    sentences = [one for claim in claims for one in (claim.words, *claim.details)]
    assert len(sentences) > 20
    for sentence in (*sentences, *view.evidence):
        words = "".join("\n" if part.target else part.text for part in sentence)
        for text in words.replace("[", "").replace("]", "").split("\n"):
            assert text.strip() in said
            assert text.strip() in report
    for row in (*view.costs.rows, *view.standings.rows):
        assert all(cell.text in said and cell.text in report for cell in row.cells)


def test_secondary_endpoints_are_drawn_where_all_are_asked_for(demo: Path) -> None:
    names = ("macro-f1", "precision", "recall", "exact-match")
    primary = piped("analyze", demo).stdout
    assert not any(name in primary for name in names)
    for words in (("analyze", "--all"), ("report", "--terminal")):
        said = piped(words[0], demo, *words[1:]).stdout
        drawn = said[said.rindex("left of zero is a loss") :]
        for name in names:
            assert f"q8_0, extraction, {name} " in drawn


def test_where_the_sets_of_methods_part_is_counted_then_listed(demo: Path) -> None:
    summary = json.loads((demo / "summary.json").read_text("utf-8"))
    parted = [one for task in summary["tasks"].values() for one in task["disagreements"]]
    assert parted
    brief = " ".join(piped("analyze", demo).stdout.split())
    whole = " ".join(piped("analyze", demo, "--all").stdout.split())
    assert f"The classic methods come to another verdict on {len(parted)} contrasts;" in brief
    apart = whole[whole.index("Classic against calibrated") :]
    for one in parted:
        pair = f"{one['candidate']} vs {one['reference']}"
        words = [verdict(one[name]) for name in ("calibrated", "classic")]
        if one["stratum"] is None:
            assert re.search(rf"{pair} .*{words[0]} \S+.* {words[1]} ", apart)
        else:
            assert f"{words[0]} by calibrated, {words[1]} by classic" in apart


def test_what_becomes_of_earlier_constraints_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell.constraints("--max-memory 150B", "--max-memory 150B", tmp_path)
    assert capsys.readouterr().out == ""
    tell.constraints("--max-memory 150B", "", tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        "The decision before was made under --max-memory 150B; this one under no constraints. "
        "Each quantrial decide starts from the study file."
    )
    (tmp_path / "report.md").write_text("", "utf-8")
    tell.constraints("", "--max-memory 150B", tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    # narrow terminals break a long path
    assert said.startswith("The report is still that of the decision before: quantrial report")


# The forest plot


def test_a_forest_plot_by_hand() -> None:
    # from -10 to +10 points over 21 columns: a column a point
    rows = [
        Interval("a", -0.05, -0.10, 0.0, 0.02, "▼"),
        Interval("bb", 0.01, None, None, 0.02, "○"),
        Interval("c", 0.10, 0.10, 0.10, 0.02, "▲"),
        Interval("d", 0.01, -0.05, 0.05, 0.02, "○"),
        Interval("none", None, None, None, 0.02, "?"),
    ]
    lines = list(forest_lines(rows, 4 + 8 + 21 - 6))
    assert lines == [
        "  a   ├────▼──┊─┤ ┊",
        "  bb          ┊ │○┊",
        "  c           ┊ │ ┊       ▲",
        "  d        ├──┊─│○┊──┤",
        "      −10       0    +10 pp",
    ]


def test_a_forest_plot_of_nothing_is_nothing() -> None:
    assert list(forest_lines([], 80)) == []
    assert list(forest_lines([Interval("a", None, None, None, 0.1, "?")], 80)) == []


# Outside text


def test_one_place_prints() -> None:
    for path in (ROOT / "src" / "quantrial" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "typer.echo", "click.echo", "sys.stdout.write"):
                    assert path.name == "terminal.py", f"{path.name} prints by itself"


def test_inert_by_hand() -> None:
    assert clean("a\x1b[31m\n\tb\u202e\ud800") == r"a\u001b[31m b\u202e\ud800"
    assert harmless("a\n\tb \x1b\x9b\u2028c") == "a\n\tb \\u001b\\u009b\\u2028c"
    assert in_json('{"a": "\x9b\u202e\U000e0001é"}\n') == (
        '{"a": "\\u009b\\u202e\\udb40\\udc01é"}\n'
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    study = write_study(folder)
    data = yaml.safe_load(study.read_text())
    data["tasks"]["sums"]["workload"] = "[red]x[/red]"  # a workload of signs that act is refused
    questions = folder / "questions.jsonl"
    questions.write_text(questions.read_text("utf-8").replace('"s1"', json.dumps(HOSTILE)), "utf-8")
    data["arms"]["q4_0"]["options"]["quantization"] = HOSTILE
    study.write_text(yaml.safe_dump(data))
    run = folder / "run"
    quantrial.run(study, out=run)
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(run)  # whatever of these a test asks for, in whatever order
    return folder


# what prints a plot or tables by the width of a terminal, and what never looks at one
_LAID_OUT = [
    ["analyze", "run"],
    ["decide", "run"],
    ["report", "run", "--terminal"],
    ["report", "run", "--format", "md"],
    ["report", "run", "--format", "csv"],
    ["power", "--from", "run"],
    *([name, "run", "--json"] for name in ("analyze", "decide")),
]
_PLAIN = [
    ["plan", "study.yaml"],
    ["run", "run"],
    ["decide", "run", "--workloads", "nothing"],
    ["verify", "run"],
    ["verify", "run", "--json"],
]


@pytest.mark.parametrize(
    ("words", "terminal"),
    [
        *((words, False) for words in (*_LAID_OUT, *_PLAIN)),
        *((words, True) for words in _LAID_OUT[:3]),
        *repetitions(*((words, True) for words in _LAID_OUT[3:])),
    ],
)
def test_outside_text_is_inert(hostile: Path, words: list[str], terminal: bool) -> None:
    located = [str(hostile / w) if w in ("study.yaml", "run") and i else w
               for i, w in enumerate(words)]  # fmt: skip
    if terminal:
        said = on_terminal(*located, NO_COLOR="1")
    else:
        done = piped(*located)
        said = done.stdout + done.stderr
    assert acting(said) == set()
    if words[0] in ("analyze", "decide") and "--json" not in words:
        assert "[red]x[/red]" in said or "\\u001b" in said
    if "--json" in words:
        json.loads(said)


def test_messages_about_hostile_files_are_one_inert_line(tmp_path: Path) -> None:
    study = write_study(tmp_path, **{"no\x1b[2Jsuch\u202ekey": 1})
    done = piped("plan", study)
    assert (done.returncode, done.stdout) == (2, "")
    assert acting(done.stderr) == set()
    assert done.stderr.count("\n") == 1


# Help and completion


def test_every_command_has_examples_and_each_parses() -> None:
    root: Any = get_command(app)
    names = {name for name in root.commands if name not in ("import", "baseline")}
    names |= {"baseline save"}
    own = (
        "auto",
        "deepeval",
        "helm",
        "inspect",
        "lighteval",
        "llama-bench",
        "llama-perplexity",
        "lm-eval",
        "promptfoo",
        "reference",
        "scores",
        "table",
        "vllm",
    )
    names |= {f"import {name}" for name in own}
    assert set(EXAMPLES) == names
    for name, lines in EXAMPLES.items():
        for line in lines:
            words = shlex.split(line)
            assert words[: 1 + len(name.split())] == ["quantrial", *name.split()]
            command: Any = root
            for part in name.split():
                command = command.commands[part]
            command.make_context(name, words[1 + len(name.split()) :], resilient_parsing=False)
        said = piped(*name.split(), "--help").stdout
        assert "Examples:\n" in said
        assert all(line in said for line in lines), name


def test_shell_completion_is_installed_and_completes(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "quantrial"
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        [program, "--install-completion", "bash"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".bash_completions" / "quantrial.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    ask = (
        f"source {script}; export PATH={program.parent}:$PATH; "
        "COMP_WORDS=(quantrial {words}); COMP_CWORD={at}; "
        "$(complete -p quantrial | sed 's/.*-F \\([^ ]*\\).*/\\1/') quantrial; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )

    def completed(words: str, at: int) -> list[str]:
        line = ask.replace("{words}", words).replace("{at}", str(at))
        done = subprocess.run(
            ["bash", "--norc", "-c", line], capture_output=True, text=True, check=True, env=env
        )
        return done.stdout.split()

    assert completed("de", 1) == ["decide", "demo"]
    assert "--max-memory" in completed("decide --max", 2)


# Progress


def response(arm: str, item: str, output: str, **changes: Any) -> Response:
    fields: dict[str, Any] = {
        "study": "small",
        "task": "sums",
        "arm": arm,
        "item": item,
        "replicate": 0,
        "attempt": 1,
        "order": 0,
        "block": 0,
        "status": "ok",
        "error": None,
        "output": output,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 20,
        "timing": {"load": None, "prompt": None, "decode": 0.5, "wall": 2.0},
        "started_at": "2026-01-01T00:00:00Z",
    }
    return Response(**(fields | changes))


def test_the_rate_of_an_arm_by_hand() -> None:
    rate = Rate()
    assert str(rate) == ""
    rate.count(response("a", "1", ""))
    rate.count(response("a", "2", "", completion_tokens=10, timing={"decode": 1.0, "wall": 4.0}))
    assert str(rate) == "3.00 s an answer, 20 tokens/s"  # 6 s for 2; 30 tokens in 1.5 s
    rate = Rate()
    rate.count(response("a", "1", "", timing={"wall": 0.25}))
    assert str(rate) == "0.25 s an answer"


def test_the_time_left_by_hand() -> None:
    def at(**changes: Any) -> str:
        now: dict[str, Any] = {"phase": "asking", "done": {}, "total": {}, "rate": 2.0}
        return overall(Progress(**(now | {"seconds_left": 75.0, "faults": 0} | changes)))

    assert at() == "2.0 calls/s, 1:15 left"
    assert at(seconds_left=3725.0, faults=2) == "2.0 calls/s, 1:02:05 left, 2 faults"
    assert at(rate=None, seconds_left=None, phase="loading \x1b[2J") == "loading \\u001b[2J"


def test_interim_scores_count_what_is_recorded_once(tmp_path: Path) -> None:
    quantrial.run(write_study(tmp_path), out=tmp_path / "run")
    scores = InterimScores(tmp_path / "run")
    lines = read_lines(tmp_path / "run" / "responses" / "sums.f16.jsonl")
    summary = quantrial.analyze(tmp_path / "run")
    expected = summary["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]["f16"]["estimate"]
    f1 = summary["tasks"]["names"]["endpoints"]["micro_f1"]["arms"]["f16"]["estimate"]
    for line in lines[:3]:  # they are in the file already
        told = scores(response("f16", line["item"], line["output"]))
    assert told == {"f16": f"sums {100 * expected:.0f} %, names {100 * f1:.0f} %"}


def test_scores_are_hidden_until_asked_for(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    said = on_terminal("run", study, "-o", tmp_path / "one", "--only-answers", columns=160)
    assert not re.search(r"sums \d+ %", said)
    assert "s an answer" in said
    shown = on_terminal(
        "run", study, "-o", tmp_path / "two", "--only-answers", "--show-scores", columns=160
    )
    assert re.search(r"sums \d+ %", shown)


def test_nothing_is_drawn_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as listener:
        assert listener is not None
        listener(Progress("asking", {"f16": 3}, {"f16": 24}, 1.0, 21.0, 0))
    assert capsys.readouterr() == ("", "")
