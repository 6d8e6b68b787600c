"""Names of files come from others: whatever stands there, a typed error says so, and at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial import paths
from quantrial.commands import studies
from quantrial.commands.derived import open_study
from quantrial.engines.model_files import describe_file, resolve
from quantrial.errors import (
    DataError,
    ModelFileError,
    PathError,
    QuantrialError,
    RecordError,
    RunFolderError,
    StudyError,
)
from quantrial.runfolder import RunFolder
from quantrial.study import load_study
from studies import write_study

ROOT = Path(__file__).parents[1]
SECONDS = 60  # one that waits for ever waits longer


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """End a test that waits for a pipe: it would never end."""

    def stop(*_: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def listening(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return str(path)


def link_to_a_device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return str(path)


def link_to_itself(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


# what a study may name in place of a file
NAMES: dict[str, Callable[[Path], str]] = {
    "pipe": pipe,
    "socket": listening,
    "link": link_to_a_device,
    "zero": lambda _: "/dev/zero",
    "null": lambda _: "/dev/null",
    "stdin": lambda _: "/dev/stdin",
    "tty": lambda _: "/dev/tty",
    "folder": lambda path: str(path.parent),
    "long": lambda _: "x" * 5000,
    "deep": lambda _: "x/" * 2500,
    "long part": lambda _: "x" * 300,
    "nul": lambda _: "a\0b",
    "nobody": lambda _: "~nosuchuser/x",
    "tilde": lambda _: "~nosuchuser",
    "loop": link_to_itself,
    "below a file": lambda _: f"{__file__}/x",
    "empty": lambda _: "",
    "endless": lambda _: "/proc/self/pagemap",
}


@pytest.fixture(params=NAMES)
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return NAMES[request.param](tmp_path / "strange")


def refused(kind: type[QuantrialError], do: Callable[[], Any]) -> None:
    with pytest.raises(kind) as caught:
        do()
    assert len(str(caught.value)) < 1000
    assert "\ud800" not in str(caught.value)


def test_no_strange_file_is_a_study(strange: str) -> None:
    kinds = (StudyError, RunFolderError)
    with pytest.raises(kinds):
        quantrial.plan(strange)
    with pytest.raises(kinds):
        quantrial.run(strange)
    if not paths.is_folder(strange):
        refused(StudyError, lambda: load_study(strange))


def test_no_strange_file_is_a_model(tmp_path: Path, strange: str) -> None:
    refused(ModelFileError, lambda: describe_file(resolve(strange, tmp_path)))
    study = write_study(tmp_path / "study")
    change(study, "arms", {"f16": {"model": strange}, "q8_0": {"model": strange}})
    # the text of a study file may itself not hold what no path can
    kinds = (ModelFileError, StudyError)
    with pytest.raises(kinds):
        quantrial.plan(study)


@pytest.mark.parametrize(
    "source",
    [
        {"type": "jsonl", "path": "STRANGE"},
        {"type": "conll", "path": "STRANGE"},
        {"type": "mmlu_csv", "path": "STRANGE"},
        {"type": "hub", "repo": "STRANGE"},
        {"type": "jsonl", "path": "questions.jsonl", "dev": "STRANGE"},
    ],
    ids="-".join,
)
def test_no_strange_file_holds_items(tmp_path: Path, strange: str, source: dict[str, Any]) -> None:
    if source["type"] == "hub":
        pytest.importorskip("datasets")
    named = {key: strange if value == "STRANGE" else value for key, value in source.items()}
    spans = source["type"] == "conll"
    change(
        study := write_study(tmp_path / "study"),
        "tasks",
        {"t": {"kind": "spans" if spans else "choice", "workload": "w", "source": named}},
    )
    if named.get("dev") == "":
        return  # as good as none
    with pytest.raises((DataError, StudyError)) as caught:
        quantrial.plan(study)
    assert len(str(caught.value)) < 1000


def change(study: Path, key: str, value: Any) -> None:
    said = yaml.safe_load(study.read_text(encoding="utf-8"))
    study.write_text(yaml.safe_dump(said | {key: value}), encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", "../../x"),
        ("config", "/etc"),
        ("split", "../x"),
        ("revision", "../../../x"),
        ("revision", "x" * 5000),
        ("dev_split", "a\0b"),
    ],
)
def test_no_name_of_a_data_set_leads_out_of_the_cache(tmp_path: Path, key: str, value: str) -> None:
    pytest.importorskip("datasets")
    study = write_study(tmp_path)
    source = {"type": "hub", "repo": "org/name", key: value}
    change(study, "tasks", {"t": {"kind": "choice", "workload": "w", "source": source}})
    with pytest.raises(StudyError, match=key):
        quantrial.plan(study)


@pytest.mark.parametrize("repo", ["a/../..", "org/na me", "o" * 200, "a/b/c", "hf://x/y"])
def test_no_strange_name_is_a_data_set(tmp_path: Path, repo: str) -> None:
    pytest.importorskip("datasets")
    study = write_study(tmp_path / "study")
    source = {"type": "hub", "repo": repo}
    change(study, "tasks", {"t": {"kind": "choice", "workload": "w", "source": source}})
    with pytest.raises(DataError):
        quantrial.plan(study)


def test_a_pipe_within_a_folder_of_data_is_named(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    study = write_study(tmp_path)
    (tmp_path / "data").mkdir()
    pipe(tmp_path / "data" / "test.jsonl")
    source = {"type": "hub", "repo": "./data"}
    change(study, "tasks", {"t": {"kind": "choice", "workload": "w", "source": source}})
    with pytest.raises(DataError, match="is a pipe; a file is needed"):
        quantrial.plan(study)


def test_a_whole_disk_is_no_folder_of_data(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    study = write_study(tmp_path)
    source = {"type": "hub", "repo": "/"}
    change(study, "tasks", {"t": {"kind": "choice", "workload": "w", "source": source}})
    with pytest.raises(DataError, match="holds more than 10,000 files"):
        quantrial.plan(study)


@pytest.mark.parametrize("split", ["..", "a/b", "/etc", "x" * 5000, "", "a\0b"])
def test_a_split_is_a_part_of_a_name(tmp_path: Path, split: str) -> None:
    study = write_study(tmp_path)
    source = {"type": "mmlu_csv", "path": ".", "split": split}
    change(study, "tasks", {"t": {"kind": "choice", "workload": "w", "source": source}})
    with pytest.raises(StudyError, match="split"):
        quantrial.plan(study)


@pytest.mark.parametrize(
    "reference",
    [
        "package://json/../../../../etc/passwd",
        "package://json//etc/passwd",
        r"package://json/..\..\x",
        "package://json/./x",
        "package://json/\0",
        "package://a..b/x",
        "hf://../../..",
        "hf://org/repo/../../x",
        "hf://org/repo@../../x/f.gguf",
        "hf://org/repo/f.gguf@../../x",
        "hf://org/re*po/f.gguf",
        "hf://org/repo/f\0.gguf",
        "hf://org/repo/\ud800.gguf",
        "hf://org/" + "a" * 5000 + "/f.gguf",
        "hf://org/repo/" + "a" * 5000,
        "package://json/" + "x" * 5000,
        "\ud800",
    ],
)
def test_no_reference_leads_out_of_its_place(reference: str) -> None:
    refused(ModelFileError, lambda: resolve(reference, Path()))


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put packages on the path whose import leaves a file behind."""
    for package in ("evil", "evil/x", "evil/x/y"):
        (tmp_path / "lib" / package).mkdir(parents=True)
        code = f"open({str(tmp_path / 'was-here')!r}, 'w').close()\n"
        (tmp_path / "lib" / package / "__init__.py").write_text(code)
        (tmp_path / "lib" / package / "f.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    return tmp_path / "lib" / "evil"


@pytest.mark.parametrize("name", ["evil", "evil.x", "evil.x.y"])
def test_naming_a_package_imports_nothing(evil: Path, tmp_path: Path, name: str) -> None:
    study = write_study(tmp_path / "study")
    arm = {"model": f"package://{name}/f.gguf"}
    change(study, "arms", {"f16": arm, "q8_0": arm})
    with pytest.raises(ModelFileError, match="cut short"):
        quantrial.plan(study)
    with pytest.raises(ModelFileError, match="is not installed"):
        resolve("package://evil.z/f.gguf", Path())
    with pytest.raises(ModelFileError, match="holds no file"):
        resolve("package://evil.x/g.gguf", Path())
    assert not (tmp_path / "was-here").exists()


def test_a_link_out_of_a_package_is_refused(evil: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    (evil / "out.gguf").symlink_to(tmp_path / "secret.gguf")
    (evil / "z").symlink_to(tmp_path)
    (evil / "within.gguf").symlink_to(evil / "f.gguf")
    for name in ("evil/out.gguf", "evil.z/secret.gguf", "evil/z/secret.gguf"):
        with pytest.raises(ModelFileError, match="leads out of the package"):
            resolve(f"package://{name}", Path())
    assert resolve("package://evil/within.gguf", Path()) == evil / "within.gguf"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "demo", tmp_path / "demo"))


RESPONSES = next((ROOT / "examples" / "demo" / "responses").iterdir()).name


@pytest.mark.parametrize(
    "name",
    [
        "study.yaml",
        "items.jsonl",
        "manifest.json",
        "speed.jsonl",
        f"responses/{RESPONSES}",
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_no_strange_file_in_a_run_folder_is_waited_for(demo: Path, name: str, kind: str) -> None:
    (demo / name).unlink()
    (demo / name).mkdir() if kind == "folder" else NAMES[kind](demo / name)
    for command in (quantrial.verify, quantrial.decide, quantrial.analyze):
        with pytest.raises(QuantrialError, match=r"a (file|pipe|directory|device)|missing"):
            command(demo)


@pytest.mark.parametrize("name", ["summary.json", "decision.json"])
def test_no_strange_document_is_waited_for(demo: Path, name: str) -> None:
    (demo / name).unlink()
    pipe(demo / name)
    with contextlib.suppress(RecordError):
        assert not quantrial.verify(demo).ok
    with pytest.raises(RunFolderError, match="is a pipe; a file is needed"):
        RunFolder(demo).read_document(name, command="analyze")


@pytest.mark.parametrize("name", ["pipe", "zero", "long", "nul", "tilde", "folder", "empty"])
def test_no_strange_file_is_a_run_folder(tmp_path: Path, name: str) -> None:
    strange = NAMES[name](tmp_path / "strange")
    for command in (quantrial.analyze, quantrial.report, quantrial.verify):
        with pytest.raises(QuantrialError):
            command(strange)
    with pytest.raises(QuantrialError):
        quantrial.power(strange)
    with pytest.raises(QuantrialError):
        quantrial.verify_document(strange)
    with pytest.raises(QuantrialError):
        quantrial.import_reference(strange, tmp_path / "out")


@pytest.mark.parametrize("name", ["pipe", "zero", "long", "nul", "below a file"])
def test_no_run_is_written_into_a_strange_place(tmp_path: Path, name: str) -> None:
    study = write_study(tmp_path / "study")
    strange = Path(NAMES[name](tmp_path / "strange"))
    with pytest.raises(RunFolderError):
        quantrial.run(study, out=strange)
    assert not studies.begun(open_study(study), strange)


def test_a_base_that_is_no_path_is_named(demo: Path) -> None:
    manifest = demo / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    said = json.loads(text)
    for base in (None, 5, ["x"]):
        said["study"]["base"] = base
        manifest.write_text(json.dumps(said), encoding="utf-8")
        with pytest.raises(QuantrialError, match=r"study\.base"):
            quantrial.analyze(demo)


@pytest.mark.parametrize("linked", ["responses", "file", "speed.jsonl", ".lock", "plots"])
@pytest.mark.usefixtures("undrawn")
def test_nothing_is_written_where_a_link_of_a_run_folder_leads(tmp_path: Path, linked: str) -> None:
    """A folder of somebody else may hold links to the files of whoever goes on with it."""
    speed = {"prompt_tokens": [5], "output_tokens": [2], "blocks": 2, "pause": 0}
    study = write_study(tmp_path / "study", speed=speed)
    run = tmp_path / "run"
    quantrial.run(study, out=run, speed=False)
    quantrial.report(run)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("years of work in a line without an end")
    path = next((run / "responses").iterdir()) if linked == "file" else run / linked
    if path.is_dir():
        shutil.copytree(path, mine / "copy")
        shutil.rmtree(path)
        path.symlink_to(mine / "copy")
    else:
        path.unlink(missing_ok=True)
        path.symlink_to(mine / "precious")
    before = {p: p.read_bytes() for p in mine.rglob("*") if p.is_file()}
    with pytest.raises((RunFolderError, PathError), match="is a link"):
        quantrial.report(run) if linked == "plots" else quantrial.run(run)
    assert {p: p.read_bytes() for p in mine.rglob("*") if p.is_file()} == before


def test_linked_records_are_read(tmp_path: Path) -> None:
    # as tools that keep large files elsewhere leave them
    study = write_study(tmp_path / "study")
    run = tmp_path / "run"
    quantrial.run(study, out=run)
    for path in [*(run / "responses").iterdir(), run / "items.jsonl"]:
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    assert quantrial.analyze(run)["reference"] == "f16"


def test_a_name_within_a_folder_stays_there() -> None:
    assert paths.parts_within("a/b.gguf") == ("a", "b.gguf")
    for name in ("", "/", "/a", "a/", "a//b", "..", "a/..", "./a", "a\\b", "a\0"):
        assert paths.parts_within(name) is None


def test_a_lock_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    pipe(tmp_path / ".lock")
    try:
        with run.locked():
            pass
    except RunFolderError:
        pass
