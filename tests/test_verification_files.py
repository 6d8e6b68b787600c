"""`verify` on the files of a run folder: texts byte by byte, line ends, pictures, strange files."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import quantrial
from quantrial import paths
from quantrial.cli import main
from quantrial.errors import QuantrialError, RecordError
from quantrial.reporting import pictures
from repetitions import mostly_repetitions, repetitions
from studies import arm, write_study

TEXTS = [
    "study.yaml",
    "items.jsonl",
    "manifest.json",
    "summary.json",
    "decision.json",
    "report.md",
    "report.html",
    "plots/SHA256SUMS",
    "responses/sums.f16.jsonl",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    two = {name: arm(name, size, [*"AAB", "[]"]) for name, size in (("f16", 400), ("q4_0", 100))}
    run = quantrial.run(write_study(folder, arms=two), out=folder / "run").folder
    quantrial.report(run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def drifts(run: Path) -> list[str]:
    return [str(drift) for drift in quantrial.verify(run).drifts]


@dataclass(frozen=True, slots=True)
class Ended:
    returncode: int
    said: str


def verify(run: Path) -> Ended:
    """Run the command here, as the shell would: what it printed, and its status."""
    printed, code = io.StringIO(), 0
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.MonkeyPatch.context() as patched,
        warnings.catch_warnings(),
    ):
        patched.setattr(sys, "argv", ["quantrial", "verify", str(run)])
        try:
            main()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0
    return Ended(code, printed.getvalue())


def put(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_every_file_that_results_derive_from_is_read_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not drifts(run)  # whatever is imported late is there before the door is watched
    counts = Counter[str]()
    read = paths.read_bytes

    def counted(path: Path | str) -> bytes:
        counts[Path(path).relative_to(run).as_posix()] += 1
        return read(path)

    monkeypatch.setattr(paths, "read_bytes", counted)
    assert not drifts(run)
    inputs = ("items.jsonl", "manifest.json", "responses/")
    answers = sorted(path.relative_to(run).as_posix() for path in run.glob("responses/*.jsonl"))
    assert len(answers) == 4
    found = {name: count for name, count in counts.items() if name.startswith(inputs)}
    assert found == dict.fromkeys(["items.jsonl", "manifest.json", *answers], 1)


MARKS = ["\f", "\v", "\t", "\x1c", "\x85", "\u2028", "\u2029", "\r", "\0"]
PAGES = ["report.md", "report.html", "plots/forest.svg"]


@pytest.mark.parametrize(
    ("name", "mark"),
    mostly_repetitions(
        itertools.product(PAGES, MARKS),
        [
            *itertools.product(["report.md"], ["\f", "\x85", "\u2028", "\r"]),
            *(("report.html", "\u2028"), ("report.html", "\0"), ("plots/forest.svg", "\f")),
        ],
    ),
)
def test_no_character_that_a_reader_takes_for_a_line_end_hides_anything(
    run: Path, name: str, mark: str
) -> None:
    data = (run / name).read_bytes()
    at = data.index(b">" if name.endswith(".svg") else b"q4_0", len(data) // 2)
    (run / name).write_bytes(data[:at] + mark.encode() + data[at:])
    (found,) = quantrial.verify(run).drifts
    line = data.count(b"\n", 0, at) + 1
    assert found.file == name
    assert name.endswith(".svg") or found.key.startswith(f"line {line}, ")


def test_a_row_that_a_form_feed_hides_from_its_reader_is_named(run: Path) -> None:
    lines = (run / "report.md").read_bytes().split(b"\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(b"| q4_0"))
    lines[at : at + 2] = [lines[at] + b"\f" + lines[at + 1]]  # what `splitlines` calls two lines
    (run / "report.md").write_bytes(b"\n".join(lines))
    assert drifts(run)[0].startswith(f"report.md: line {at + 1}, character ")
    assert verify(run).returncode == 1


def test_what_ends_the_script_of_the_page_is_named(run: Path) -> None:
    put(run / "report.html", b"<script>", b"<script>\xe2\x80\xa8")
    assert [one.split(":")[0] for one in drifts(run)] == ["report.html"]


@pytest.mark.parametrize("ends", [b"\n\n", b"", b" \n"])
def test_the_end_of_a_text_counts(run: Path, ends: bytes) -> None:
    path = run / "report.md"
    path.write_bytes(path.read_bytes().removesuffix(b"\n") + ends)
    assert [one.split(":")[0] for one in drifts(run)] == ["report.md"]


def test_a_long_line_is_shown_where_it_differs(run: Path) -> None:
    put(run / "report.html", b'"insensitive', b'"insensible')
    (found,) = quantrial.verify(run).drifts
    assert "insensible" in found.recorded
    assert "insensitive" in found.derived


def crlf(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    "name",
    mostly_repetitions(
        TEXTS, ["study.yaml", "items.jsonl", "summary.json", "report.md", "plots/SHA256SUMS"]
    ),
)
def test_line_ends_of_windows_are_told_from_edits(run: Path, name: str) -> None:
    crlf(run / name)
    found = quantrial.verify(run)
    assert found.drifts == ()
    (note,) = found.notes
    assert note.startswith(f"1 file has line ends of Windows ({name})")
    put(run / name, b"e", b"o")
    try:
        assert not quantrial.verify(run).ok
    except QuantrialError:
        return  # it cannot be read as what it was, and is named


def test_a_checkout_with_line_ends_of_windows_holds_in_every_command(
    run: Path, finished: Path
) -> None:
    texts = [path for path in run.rglob("*") if path.is_file() and path.suffix != ".png"]
    for path in texts:
        crlf(path)
    done = verify(run)
    assert done.returncode == 0, done.said
    assert "line ends of Windows" in done.said
    assert "everything follows from the responses" in done.said
    second = run.parent / "second"
    shutil.copytree(run, second)
    for name in ("questions.jsonl", "sentences.jsonl"):
        shutil.copy(finished.parent / name, run.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is older than the responses
        quantrial.decide(run)
        quantrial.report(run)
        quantrial.compare(run, second)
    assert quantrial.verify(run).ok
    assert quantrial.run(run).asked == 0  # the run itself goes on, too


def test_git_leaves_the_line_ends_of_a_run_alone(finished: Path) -> None:
    assert "\n* -text\n" in (finished / ".gitattributes").read_text(encoding="utf-8")


def test_a_gitattributes_of_somebody_stays(run: Path) -> None:
    (run / ".gitattributes").write_text("* text\n", encoding="utf-8")
    quantrial.analyze(run)
    assert (run / ".gitattributes").read_text(encoding="utf-8") == "* text\n"


def test_an_older_run_gets_its_gitattributes_with_the_analysis(run: Path) -> None:
    (run / ".gitattributes").unlink()
    assert quantrial.verify(run).ok
    quantrial.analyze(run)
    assert (run / ".gitattributes").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "plots/forest (copy).svg",
        "responses/sums.f16.jsonl.bak",
        "old/summary.json",
        "a\x1b[2Jb",
        *repetitions("plots/extra.png", "responses/notes.txt", ".DS_Store", "report-data.js"),
    ],
)
def test_a_file_that_belongs_to_nobody_is_noted(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_bytes(b"\xff\xfe")
    found = quantrial.verify(run)
    assert found.ok
    (note,) = found.notes
    first = name.split("/", maxsplit=1)[0] if name.startswith("old/") else name
    assert note.startswith(f"{first} belongs to no part of this run")
    done = verify(run)
    assert done.returncode == 0
    assert "\x1b" not in done.said


def test_many_strange_files_are_counted(run: Path) -> None:
    for number in range(9):
        (run / f"note{number}").touch()
    (note,) = quantrial.verify(run).notes
    assert note.startswith("note0, note1, note2, note3, note4 and 4 more belong to no part")


@pytest.mark.parametrize(
    "name",
    [
        *("study.yaml", "items.jsonl", "manifest.json", "summary.json", "decision.json"),
        *("report.md", "report.html", "plots/forest.svg", "plots/forest.png", "plots/SHA256SUMS"),
        "responses/sums.f16.jsonl",
    ],
)
def test_a_missing_file_is_named_and_exits_1(run: Path, name: str) -> None:
    (run / name).unlink()
    done = verify(run)
    assert done.returncode == 1
    assert name.rpartition("/")[2] in done.said
    assert "missing" in done.said or "not there yet" in done.said


def test_no_answers_left_is_a_missing_file_too(run: Path) -> None:
    shutil.rmtree(run / "responses")
    done = verify(run)
    assert done.returncode == 1
    assert "responses/sums.f16.jsonl: file: recorded missing" in done.said


def test_no_run_folder_is_no_edit(tmp_path: Path) -> None:
    assert verify(tmp_path).returncode == 2
    assert verify(tmp_path / "nothing").returncode == 2


def first_line(path: Path, change: Callable[[bytes], bytes]) -> None:
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(change(first) + b"\n" + rest)


@pytest.mark.parametrize(
    ("name", "double"),
    [
        ("items.jsonl", b'"task":"x",'),
        ("responses/sums.f16.jsonl", b'"output":"A",'),
        ("responses/names.q4_0.jsonl", b'"timing":{"load":null,"load":null},'),
        ("manifest.json", b'"study":{},'),
        ("summary.json", b'"alpha":0.5,'),
        ("decision.json", b'"default":{"arm":"q4_0"},'),
    ],
)
def test_a_key_that_stands_twice_is_named(run: Path, name: str, double: bytes) -> None:
    first_line(run / name, lambda line: b"{" + double + line.removeprefix(b"{"))
    with pytest.raises(RecordError, match=r"the key '\w+' occurs twice"):
        quantrial.verify(run)
    done = verify(run)
    assert done.returncode == 1
    assert name in done.said


def test_a_key_that_stands_twice_deep_in_a_document_is_named(run: Path) -> None:
    put(run / "summary.json", b'"estimate":', b'"estimate": 0.5, "estimate":')
    with pytest.raises(RecordError, match=r"summary\.json: the key 'estimate' occurs twice"):
        quantrial.verify(run)


@pytest.mark.parametrize(
    ("name", "byte"),
    [
        *((name, b"\xff") for name in TEXTS),
        *itertools.product(["report.md", "items.jsonl"], [b"\xed\xa0\x80", b"\xc3"]),
    ],
)
def test_bytes_that_are_no_text_are_named(run: Path, name: str, byte: bytes) -> None:
    put(run / name, b"e", b"e" + byte)
    done = verify(run)
    assert done.returncode == 1
    assert "internal error" not in done.said
    assert name in done.said
    if name.endswith((".json", ".jsonl")):
        assert "not UTF-8 (byte" in done.said


def test_a_picture_names_its_drawing(run: Path) -> None:
    svg = (run / "plots/forest.svg").read_bytes()
    assert pictures.named_svg((run / "plots/forest.png").read_bytes()) == pictures.sha256(svg)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=run / "plots",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def sign(run: Path, name: str) -> None:
    """Write the hash of a changed picture into SHA256SUMS: an edit that hides itself."""
    path = run / "plots/SHA256SUMS"
    lines = path.read_text(encoding="utf-8").splitlines()
    digest = pictures.sha256((run / "plots" / name).read_bytes())
    path.write_text(
        "".join(f"{digest}  {name}\n" if one.endswith(name) else f"{one}\n" for one in lines),
        encoding="utf-8",
    )


def test_a_picture_of_another_drawing_is_named_even_with_its_hash(run: Path) -> None:
    shutil.copy(run / "plots/flips.png", run / "plots/forest.png")
    sign(run, "forest.png")
    (found,) = drifts(run)
    assert found.startswith("plots/forest.png: drawing: ")


def test_other_pixels_are_named_even_with_their_hash(run: Path) -> None:
    image = run / "plots/forest.png"
    image.write_bytes(image.read_bytes() + b" ")
    sign(run, "forest.png")
    (found,) = drifts(run)
    assert found.startswith("plots/forest.png: content: recorded another picture")


def test_pictures_of_other_fonts_are_not_drawn_again_and_that_is_said(run: Path) -> None:
    here = pictures.recorded_fonts((run / "plots/SHA256SUMS").read_text(encoding="utf-8"))
    assert here is not None
    put(run / "plots/SHA256SUMS", here.encode(), b"0" * 64)
    image = run / "plots/forest.png"
    image.write_bytes(image.read_bytes() + b" ")
    (found,) = drifts(run)  # the hash is compared all the same
    assert found.startswith("plots/forest.png: sha256: ")
    sign(run, "forest.png")
    found_now = quantrial.verify(run)
    assert found_now.ok
    assert any("were not drawn again here" in note for note in found_now.notes)


def test_fonts_differ_where_letters_do() -> None:
    assert pictures.fonts_here(["<svg>ab</svg>"]) == pictures.fonts_here(["<svg>b<i/>a</svg>"])
    assert pictures.fonts_here(["<svg>ab</svg>"]) != pictures.fonts_here(["<svg>ac</svg>"])


@pytest.mark.parametrize(
    "line", [b"# a remark\n", b"0" * 64 + b"  other.png\n", b"\xff\n", b"forest.png\n"]
)
def test_every_line_of_the_sums_hangs_on_a_file(run: Path, line: bytes) -> None:
    path = run / "plots/SHA256SUMS"
    path.write_bytes(path.read_bytes() + line)
    (found,) = drifts(run)
    assert found.startswith("plots/SHA256SUMS: line ")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"constrained": 5},
        lambda d: d | {"constrained": {"constraints": []}},
        lambda d: d | {"constrained": {"constraints": {"tolerate": "much"}}},
        lambda d: d | {"constrained": {"constraints": {"tolerate": 7}}},
        lambda d: d | {"constrained": {"constraints": {"workloads": ["nothing"]}}},
        lambda d: d | {"methods": None},
        lambda d: d | {"findings": None},
        lambda d: {},
    ],
)
def test_a_decision_that_was_never_written_is_a_drift(
    run: Path, change: Callable[[dict[str, object]], object]
) -> None:
    decision = json.loads((run / "decision.json").read_text(encoding="utf-8"))
    (run / "decision.json").write_text(json.dumps(change(decision)), encoding="utf-8")
    assert drifts(run)
    assert all(one.startswith("decision.json: ") for one in drifts(run))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"study": {}},
        lambda d: d | {"arms": {}},
        lambda d: d | {"arms": dict.fromkeys(d["arms"])},
        lambda d: d | {"arms": {name: {"bytes_on_disk": "large"} for name in d["arms"]}},
        lambda d: d | {"design": {"schedule": 5}},
    ],
)
def test_a_manifest_that_was_never_written_is_named(
    run: Path, change: Callable[[dict[str, object]], object]
) -> None:
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    (run / "manifest.json").write_text(json.dumps(change(manifest)), encoding="utf-8")
    done = verify(run)
    assert done.returncode == 1
    assert "internal error" not in done.said
    assert "manifest.json" in done.said


NO_DOCUMENTS = ["[]", "5", "null", "", "{", '{"methods": "guess"}', "[" * 5000, "{}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("summary.json", text) for text in NO_DOCUMENTS),
        *itertools.product(["decision.json", "manifest.json"], ["[]", "{", "{}"]),
    ],
)
def test_no_document_at_all_is_named(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text, encoding="utf-8")
    done = verify(run)
    assert done.returncode == 1
    assert "internal error" not in done.said
    assert name in done.said


def test_an_edited_study_that_is_no_study_any_more_exits_1(run: Path) -> None:
    (run / "study.yaml").write_text("study: [", encoding="utf-8")
    assert verify(run).returncode == 1
