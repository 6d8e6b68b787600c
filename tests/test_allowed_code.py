"""Code that a study names runs where the user's own command line allows it, and nowhere else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import quantrial
from command import command
from drawings import draw_nothing
from quantrial.cli import app
from quantrial.errors import CodeNotAllowedError, RunChangedError
from quantrial.study import code_in, load_study
from quantrial.study.code import FLAG, listed
from studies import arm, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[1]
SPEED = {
    "prompt_tokens": [5],
    "output_tokens": [2],
    "blocks": 2,
    "precision": 0.99,
    "time_limit": 0.5,  # of calls: on a busy machine their times never come to agree
    "pause": 0,
}
LOG = "calls.jsonl"

# command -> whether code of a study that is still to be run, or of a run that is finished, needs
# the flag; what is not here takes no study and no run
TABLE: dict[tuple[str, ...], bool] = {
    ("plan", "STUDY"): True,
    ("plan", "STUDY", "--probe"): True,
    ("plan", "STUDY", "--json"): True,
    ("plan", "STUDY", "--no-probe"): False,
    ("plan", "RUN"): True,
    ("plan", "RUN", "--no-probe"): False,
    ("run", "STUDY"): True,
    ("run", "STUDY", "--yes"): True,
    ("run", "STUDY", "--show-scores"): True,
    ("run", "STUDY", "--no-speed"): True,
    ("run", "BEGUN"): True,
    ("run", "BEGUN", "--no-speed"): True,
    ("run", "FAULTED", "--retry-faults"): True,
    ("run", "FAULTED"): False,
    ("run", "RUN"): False,
    ("run", "RUN", "--retry-faults"): False,
    ("prompts", "STUDY"): False,
    ("prompts", "RUN"): False,
    ("analyze", "RUN"): False,
    ("decide", "RUN"): False,
    ("report", "RUN"): False,
    ("compare", "RUN", "OTHER"): False,
    ("verify", "RUN"): False,
    ("power", "--from", "RUN"): False,
}
# `gate` ends in other codes; it reads the summary, which is derived again where that is needed
NO_STUDY = {
    *("init", "demo", "gate", "baseline", "check", "label", "redact", "audit", "log"),
    *("import", "quantize"),
}
# those that score answers, where the study names a file of Python for it: scorers/test_python.py
SCORING = {
    *("run", "analyze", "decide", "report", "label", "compare", "verify", "power", "gate"),
    *("baseline", "redact", "log"),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Set up a study, and runs of it: finished, begun, finished with a fault."""
    home = tmp_path_factory.mktemp("code")
    two = {n: arm(n, 1, ["A", "B"], log=LOG, delay=0.01) for n in ("f16", "q4_0")}
    study = write_study(home / "study", arms=two, speed=SPEED)
    faulty = two | {"q4_0": arm("q4_0", 1, ["A"], faults=[{"matching": "5 plus 5", "times": 99}])}
    with_fault = write_study(home / "faulty", arms=faulty, design={"attempts": 1})
    places = {"STUDY": study}
    with pytest.MonkeyPatch.context() as patched:
        draw_nothing(patched)
        for name, of in (("RUN", study), ("FAULTED", with_fault)):
            places[name] = quantrial.run(of, out=home / name).folder
            quantrial.report(places[name])
    places["OTHER"] = shutil.copytree(places["RUN"], home / "OTHER")
    places["BEGUN"] = quantrial.run(study, out=home / "BEGUN", speed=False).folder
    for path in (places["BEGUN"] / "responses").iterdir():
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    for path in places.values():
        shutil.rmtree(path / "logs", ignore_errors=True)
    places["HOME"] = home
    return places


def run_in(folder: Path, words: tuple[str, ...], *, flag: bool) -> Any:
    done = command(*words, *([FLAG] if flag else []), cwd=folder, allow=False, drawn=False)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done


# nothing but one more option of the same way: `make soak` runs them
SOAK = {
    ("run", "STUDY", "--yes"),
    ("run", "STUDY", "--show-scores"),
    ("run", "BEGUN", "--no-speed"),
}


@pytest.mark.parametrize(
    "words",
    [pytest.param(one, marks=[pytest.mark.soak] if one in SOAK else []) for one in TABLE],
    ids=" ".join,
)
def test_the_table_of_commands(
    tmp_path: Path, places: dict[str, Path], words: tuple[str, ...]
) -> None:
    needed = TABLE[words]
    for flag in (False, True):
        if flag and not needed:
            continue
        here = tmp_path / f"flag-{flag}"
        shutil.copytree(places["HOME"], here)
        said = ["study/study.yaml" if word == "STUDY" else word for word in words]
        before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
        done = run_in(here, tuple(said), flag=flag)
        if flag or not needed:
            assert done.returncode == 0, done.stderr
            assert "names code" not in done.stderr
            if not needed:
                assert not list(here.rglob(LOG)), "it ran without the flag"
            continue
        assert done.returncode == 2, done.stdout
        assert "the study names code; none of it was run:" in done.stderr
        assert "arms.f16.engine: the engine `scripted`, with the options {" in done.stderr
        assert FLAG in done.stderr
        assert ("--no-probe" in done.stderr) == (words[0] == "plan")
        after = {p: p.read_bytes() for p in here.rglob("*") if p.is_file()}
        assert {p: d for p, d in after.items() if p.name != ".lock"} == {
            p: d for p, d in before.items() if p.name != ".lock"
        }


def test_the_table_knows_every_command_and_who_takes_the_flag() -> None:
    root: Any = get_command(app)
    assert {words[0] for words in TABLE} | NO_STUDY == set(root.commands)
    taking = {
        name
        for name, one in root.commands.items()
        for each in (one, *getattr(one, "commands", {}).values())
        if any(FLAG in parameter.opts for parameter in each.params)
    }
    assert taking == SCORING | {words[0] for words, needed in TABLE.items() if needed}


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (yes|no)\b", page, re.MULTILINE))
    root: Any = get_command(app)
    asking = SCORING | {words[0] for words, needed in TABLE.items() if needed}
    assert rows == {name: "yes" if name in asking else "no" for name in root.commands}


def test_a_plan_lists_the_code_and_the_manifest_hashes_it(places: dict[str, Path]) -> None:
    study = load_study(places["STUDY"])
    codes = code_in(study)
    assert [code.key for code in codes] == ["arms.f16.engine", "arms.q4_0.engine"]
    assert len({code.sha256 for code in codes}) == 2
    assert quantrial.plan(places["STUDY"]).code == codes
    words = ("plan", "study.yaml", "--no-probe")
    said = run_in(places["STUDY"].parent, words, flag=False).stdout
    in_json = run_in(places["STUDY"].parent, (*words, "--json"), flag=False).stdout
    assert "Code that the study names. It runs only with --allow-code:" in said
    assert '"log":"calls.jsonl"' in "".join(said.split())
    manifest = json.loads((places["RUN"] / "manifest.json").read_text(encoding="utf-8"))
    hashes = [code.sha256 for code in codes]
    assert [one["sha256"] for one in json.loads(in_json)["code"]] == hashes
    assert [one["sha256"] for one in manifest["code"]] == hashes
    assert [one["key"] for one in manifest["code"]] == [code.key for code in codes]


def test_other_code_is_another_run(tmp_path: Path, places: dict[str, Path]) -> None:
    shutil.copytree(places["HOME"], tmp_path / "home")
    run = tmp_path / "home" / "BEGUN"
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    manifest["code"][1]["sha256"] = "0" * 64
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunChangedError, match=r"the code that arms\.q4_0\.engine names changed"):
        quantrial.run(run)


def test_in_python_whoever_calls_has_agreed_and_may_still_ask(tmp_path: Path) -> None:
    study = write_study(tmp_path)

    def refuse(study: quantrial.Study) -> None:
        raise CodeNotAllowedError("no")

    for call in (
        lambda: quantrial.run(study, out=tmp_path / "run", before_code=refuse),
        lambda: quantrial.plan(study, probe=True, before_code=refuse),
    ):
        with pytest.raises(CodeNotAllowedError):
            call()
    assert not (tmp_path / "run").exists()
    assert quantrial.plan(study, before_code=refuse).calls == 108
    assert quantrial.run(study, out=tmp_path / "run").recorded == 108
    assert quantrial.run(study, out=tmp_path / "run", before_code=refuse).asked == 0


@pytest.mark.parametrize(
    "log",
    [
        "../../.bashrc",
        "/tmp/quantrial-evil",
        "~/.bashrc",
        "manifest.json/..",
        "a/../../b",
        "x y",
        ".gitattributes",
        "CON/../x",
        "\\\\server\\x",
    ],
)
def test_no_log_is_written_outside_the_run_folder_even_with_the_flag(
    tmp_path: Path, log: str
) -> None:
    two = {n: arm(n, 1, ["A", "$(touch evil)"], log=log) for n in ("f16", "q4_0")}
    study = write_study(tmp_path / "a" / "b", arms=two)
    before = sorted(tmp_path.rglob("*"))
    for words in (("run", str(study)), ("plan", str(study))):
        done = run_in(tmp_path / "a", words, flag=True)
        assert done.returncode == 2
        assert "arms.f16.options.log: expected the name of a file" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_log_with_the_name_of_a_record_stands_apart_from_it(tmp_path: Path) -> None:
    two = {n: arm(n, 1, ["A", "B"], log="manifest.json") for n in ("f16", "q4_0")}
    run = quantrial.run(write_study(tmp_path, arms=two), out=tmp_path / "run").folder
    assert len((run / "logs" / "manifest.json").read_text().splitlines()) >= 72
    quantrial.report(run)
    found = quantrial.verify(run)
    assert found.ok
    assert not any("logs" in note for note in found.notes)


def test_a_probe_writes_no_log(tmp_path: Path) -> None:
    two = {n: arm(n, 1, ["A", "B"], log=LOG) for n in ("f16", "q4_0")}
    study = write_study(tmp_path, arms=two)
    before = sorted(tmp_path.rglob("*"))
    assert quantrial.plan(study, probe=True).seconds is not None
    assert sorted(tmp_path.rglob("*")) == before


def test_many_arms_are_listed_in_short(tmp_path: Path) -> None:
    many = {f"a{i}": arm("m", 1, ["\x1b[2J" + "x" * 5000]) for i in range(30)}
    study = load_study(write_study(tmp_path, arms=many, reference="a0"))
    lines = listed(code_in(study))
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"
    assert all(len(line) < 500 and "\x1b" not in line for line in lines)


def test_an_installed_engine_needs_no_flag() -> None:
    said = (ROOT / "examples" / "engine-command" / "study.yaml").read_text(encoding="utf-8")
    study = quantrial.Study.model_validate(yaml.safe_load(said))
    assert {one.engine for one in study.arms.values()} - {"scripted"}
    assert code_in(study) == ()


def test_the_demo_and_its_run_need_no_flag() -> None:
    assert code_in(load_study(ROOT / "examples" / "demo" / "study.yaml")) == ()
