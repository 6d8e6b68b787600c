"""What only Linux has is taken away: everything imports, and what needs none of it works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from importers.fabricated import answers, write_rows
from studies import write_study

# In a process of its own: modules, functions and files that other systems lack are gone.
WITHOUT = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp"):
    sys.modules[name] = None
for name in ("setpgid", "getpgid", "killpg", "sysconf", "sched_getaffinity", "sched_setaffinity"):
    delattr(os, name)
for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_NOCTTY"):
    delattr(os, name)
def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "absent here", arguments[0])
sys.addaudithook(refuse)
"""
MODULES = """
import importlib, pkgutil, quantrial
names = [one.name for one in pkgutil.walk_packages(quantrial.__path__, "quantrial.")]
for name in names:
    if name != "quantrial.__main__":
        importlib.import_module(name)
print(len(names))
"""
COMMANDS = """
import json
from quantrial.cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["quantrial", *line]
    try:
        main()
        code = 0
    except SystemExit as exc:
        code = exc.code or 0
    print("exit", code, *line[:1], file=sys.stderr)
"""


def without(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT + program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def ask(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    return without(COMMANDS, json.dumps([line.split() for line in lines]), folder=folder)


def test_every_module_is_imported(tmp_path: Path) -> None:
    done = without(MODULES, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def test_what_needs_no_lock_works(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "published").mkdir()
    for name, rows in answers().items():
        write_rows(tmp_path / "published" / f"{name}.jsonl", rows)
    lines = (
        "--help",
        "plan study.yaml --no-probe",
        "import reference published -o runs/old",
        "analyze runs/old",
        "decide runs/old",
        "report runs/old",
        "verify runs/old",
    )
    done = ask(tmp_path, *lines)
    codes = [line for line in done.stderr.splitlines() if line.startswith("exit ")]
    assert codes == [f"exit 0 {line.split()[0]}" for line in lines], done.stderr
    assert "runs/old: everything follows from the responses" in done.stdout


def test_a_run_is_refused_without_a_lock_that_ends_with_it(tmp_path: Path) -> None:
    write_study(tmp_path)
    done = ask(tmp_path, "run study.yaml --allow-code")
    assert "error: a run locks its folder" in done.stderr
    assert done.stderr.endswith("exit 2 run\n")
    assert not [*tmp_path.glob("runs/*/responses/*")]


def test_taking_away_takes_away(tmp_path: Path) -> None:
    done = without("open('/proc/meminfo')", folder=tmp_path)
    assert "FileNotFoundError" in done.stderr
    done = without("import fcntl", folder=tmp_path)
    assert "fcntl" in done.stderr
