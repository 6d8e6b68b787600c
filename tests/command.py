"""The command line in processes of their own that start in milliseconds.

Each command is a fork of one process that has imported what commands import: it has its own
streams, folder, environment and exit code, and ends as a program does. What depends on how Python
itself starts (PYTHON... variables, the locale, what is imported when) needs a real start.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from studies import allowed

_PARENT = r"""
import atexit, gc, importlib, json, os, pkgutil, sys
from pathlib import Path
import filelock, gguf, httpx, jinja2, numpy, orjson, rich.table, scipy.optimize, scipy.stats
import vl_convert, yaml
import quantrial.cli
for module in pkgutil.walk_packages(quantrial.__path__, "quantrial."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

sys.path.insert(0, sys.argv[1])
from build_once import build_once
build_once()
if sys.argv[2] == "warm":  # what every command builds anew, of the leaves that are there now
    import typer.main
    from quantrial.reporting import rendering
    from quantrial.study import parse_study
    typer.main.get_command(quantrial.cli.app)
    parse_study(Path(sys.argv[1], "../examples/demo/study.yaml").read_text(encoding="utf-8"))
    for form, environment in zip((".md.j2", ".html.j2"), rendering._environments()):
        for name in environment.list_templates(filter_func=lambda name: name.endswith(form)):
            environment.get_template(name)
from quantrial.reporting import charts
from drawings import EMPTY, FOLDER, share_drawings
if FOLDER in os.environ:
    share_drawings(Path(os.environ[FOLDER]))
gc.collect()
gc.freeze()  # a child's collections leave the memory that it shares alone
answer = os.fdopen(os.dup(1), "w")
order = None
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answer, flush=True)
    order = None
if order is not None:
    answer.close()
    for number, (name, mode) in enumerate(zip(order["streams"], ("r", "w", "w"))):
        flags = os.O_RDONLY if mode == "r" else os.O_WRONLY
        stream = os.open(name, flags)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, errors="backslashreplace", buffering=1)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.argv = ["quantrial", *order["words"]]
    sys.path[:0] = order["site"]
    if not order["drawn"]:
        charts.draw = lambda summary: dict(EMPTY)
    code = 0
    try:
        quantrial.cli.main()
    except SystemExit as exc:
        code = exc.code or 0
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without taking apart what was imported
"""


def command(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    allow: bool = True,
    terminal: str | None = None,
    drawn: bool = True,
    site: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `quantrial WORDS`, with this process's environment where none is given.

    `plan` and `run` get the flag for code of a study, unless `allow` is False. With `terminal`, the
    name of one, the streams are that terminal. Where `drawn` is False, an empty plot stands for all
    plots, as in the fixture `undrawn`. Packages in the folder `site` are installed for the command.
    """
    given = allowed(words) if allow else [*map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdout", "stderr")]
        for stream in streams:
            stream.touch()
        order = {
            "words": given,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "drawn": drawn,
            "site": [str(site)] if site else [],
            "streams": [terminal] * 3 if terminal else [os.devnull, *map(str, streams)],
        }
        code = _ask(json.dumps(order), warm=site is None)
        said = [stream.read_text(encoding="utf-8") for stream in streams]
    return subprocess.CompletedProcess(["quantrial", *given], int(code), *said)


def _ask(order: str, *, warm: bool) -> str:
    stdin, stdout = _parent(warm=warm).stdin, _parent(warm=warm).stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(order + "\n")
    stdin.flush()
    return stdout.readline()


@functools.cache
def _parent(*, warm: bool) -> subprocess.Popen[str]:
    """The process that is forked; it goes when this one does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(Path(__file__).parent), "warm" if warm else "cold"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)
    return process
