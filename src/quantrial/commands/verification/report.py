"""What people read, checked: report and page byte by byte, drawings, and pictures by their hashes.

Each is made again from the recorded summary and decision, once these were found to follow. Of a run
that another version analysed, it is said what this version derives otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial import paths
from quantrial._version import __version__
from quantrial.agreement import ABSENT, Difference, differences
from quantrial.documents.codec import METHODS_VERSION, changes_since, methods_version
from quantrial.runfolder import DECISION
from quantrial.words import listed, verdict_word

if TYPE_CHECKING:
    from quantrial.reporting import Results
    from quantrial.runfolder import RunFolder, RunSnapshot


_SHOWN = 80  # characters of a value
_BEFORE = 20  # characters of a line before the place that differs
REPORT_AGAIN = "`quantrial report` makes it"


@dataclass(frozen=True, slots=True)
class Drift:
    """One place where what is recorded is not what follows: file, key within it, both values.

    `remedy` says what to run, where that is known.
    """

    file: str
    key: str
    recorded: Any
    derived: Any
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.file}: {self.key}: recorded {short(self.recorded)}, {short(self.derived)}"
        return f"{said}; {self.remedy}" if self.remedy else said


def missing(file: str, remedy: str = REPORT_AGAIN) -> Drift:
    """Say that a file is not there."""
    return Drift(file, "file", "missing", remedy)


def document_drifts(file: str, recorded: Any, derived: Any) -> list[Drift]:
    """Compare a recorded document with the derived one, key by key."""
    return [
        Drift(
            file,
            one.key,
            "nothing" if one.recorded is ABSENT else one.recorded,
            f"derived {short(one.derived)}",
        )
        for one in differences(recorded, derived)
    ]


def text_drift(file: str, recorded: bytes, derived: str) -> Drift | None:
    """Compare a file of text with what it should be, byte by byte.

    Line ends that a checkout changed (a carriage return before each line feed) are no difference.
    """
    want = derived.encode("utf-8", "surrogatepass")
    if recorded == want:
        return None
    have = recorded.replace(b"\r\n", b"\n")
    if have == want.replace(b"\r\n", b"\n"):
        return None
    try:
        text = have.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = have.count(b"\n", 0, exc.start) + 1
        found = f"byte 0x{have[exc.start]:02x}"
        return Drift(file, f"line {line}", found, "is not UTF-8: summary and decision give a text")
    line, at, is_now, should_be = _first_difference(text, derived)
    place = f"line {line}, character {at + 1}" if at else f"line {line}"
    return Drift(file, place, is_now, f"summary and decision give {should_be}")


def _first_difference(have: str, want: str) -> tuple[int, int, str, str]:
    """Return line and place of the first difference, and both lines from a little before it."""
    # line feeds alone end a line here: what else a reader may take for one is what to look for
    have_lines, want_lines = have.split("\n"), want.replace("\r\n", "\n").split("\n")
    pairs = zip(have_lines, want_lines, strict=False)
    number = next(
        (i for i, (one, other) in enumerate(pairs) if one != other),
        min(len(have_lines), len(want_lines)),
    )
    end = "the end of the file"
    is_now = have_lines[number] if number < len(have_lines) else end
    should_be = want_lines[number] if number < len(want_lines) else end
    letters = zip(is_now, should_be, strict=False)
    at = next((i for i, (a, b) in enumerate(letters) if a != b), min(len(is_now), len(should_be)))
    start = max(0, at - _BEFORE)
    if max(len(is_now), len(should_be)) <= _SHOWN:
        start = 0
    before = "..." if start else ""
    shown = [short(before + one[start:]) for one in (is_now, should_be)]
    return number + 1, at, shown[0], shown[1]


def short(value: Any) -> str:
    """Write a value on one short line."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = repr(value)
        except RecursionError:
            text = f"a {type(value).__name__}, nested deeply"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def line_end_notes(changed: Sequence[str]) -> Iterator[str]:
    """Say which files have line ends of Windows, and why that is no edit."""
    if not changed:
        return
    names = ", ".join(changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    files = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    yield (
        f"{files} line ends of Windows ({names}{more}): a checkout changed them, nobody "
        "edited a line; `* -text` in .gitattributes keeps git from it"
    )


REPORT = "report.md"
PAGE = "report.html"
DATA = "report-data.js"


class ReportCheck:
    """Checks the report of a run; `notes` says what could not be checked, `made` which files."""

    def __init__(self, run: RunSnapshot, results: Results) -> None:
        from quantrial.reporting import made_of, render

        self._run = run
        self._origin = made_of(results.decision)
        rendered = render(results)
        self._documents, self._drawn = rendered.documents, rendered.drawings
        self.notes: list[str] = []

    @property
    def made(self) -> set[str]:
        """The files of the report, by their path in the run folder."""
        from quantrial.reporting import SUMS

        pictures = [name.removesuffix(".svg") + ".png" for name in self._drawn]
        return {*self._documents, *self._drawn, *pictures, SUMS}

    def drifts(self, options: str) -> Iterator[Drift]:
        """Check report, page and plots; `options` are those of `decide` behind the decision."""
        drifts = list(self._text_drifts())
        stale = self._stale(options) if drifts else None
        if stale is not None:
            yield stale
            if stale.key == "decision":
                return
        else:
            yield from drifts
        yield from self._plot_drifts()

    def _stale(self, options: str) -> Drift | None:
        """Say that the report is of an earlier decision, where it says so itself."""
        path = self._run.path / REPORT
        if not path.is_file():
            return None
        from quantrial.reporting import named_origin

        text = self._run.read_text_file(REPORT).decode("utf-8", "replace")
        stated, now = _constraints_of_report(text), options.strip()
        again = f"`quantrial report {self._run.path}` writes the report of that decision"
        if stated is not None and stated != now:
            since = f"decision.json was made under {now or 'no constraints'} since"
            return Drift(REPORT, "constraints", stated or "none", since, again)
        origin = named_origin(text)
        if origin is None:
            since = "an early version wrote the report, or the line that names it was removed"
            return Drift(REPORT, "decision", "none named", since, again)
        if origin.decision != self._origin.decision:
            return Drift(
                REPORT, "decision", "an earlier one", "decision.json was made since", again
            )
        return None

    def _text_drifts(self) -> Iterator[Drift]:
        from quantrial.reporting import named_origin

        for name, text in self._documents.items():
            if not (self._run.path / name).is_file():
                yield missing(name)
                continue
            data = self._run.read_text_file(name)
            drift = text_drift(name, data, text)
            if drift is None:
                continue
            origin = named_origin(data.decode("utf-8", "replace"))
            if (
                origin is None
                or origin.decision != self._origin.decision
                or origin.version == self._origin.version
            ):
                yield drift
                continue
            self.notes.append(
                f"{name} was written by quantrial {origin.version}; this is "
                f"{self._origin.version} and words it otherwise, so it was not compared"
            )

    def _plot_drifts(self) -> Iterator[Drift]:
        for name, svg in self._drawn.items():
            if not (self._run.path / name).is_file():
                yield missing(name)
            elif text_drift(name, self._run.read_text_file(name), svg) is not None:
                yield Drift(name, "content", "another drawing", "the summary gives another one")
        yield from picture_drifts(self._run, self._drawn, self.notes)


def picture_drifts(run: RunSnapshot, drawn: Mapping[str, str], notes: list[str]) -> Iterator[Drift]:
    """Hold PNGs and SHA256SUMS against the drawings they were made from.

    Args:
        run: the run folder.
        drawn: the drawings, by path in the run folder.
        notes: told where pictures were not drawn again.
    """
    from quantrial.reporting import pictures

    recorded, fonts = dict[str, str](), None
    if (run.path / pictures.SUMS).is_file():
        text = run.read_text_file(pictures.SUMS).decode("utf-8", "replace")
        recorded, fonts = pictures.read_sums(text), pictures.recorded_fonts(text)
    again = fonts is not None and fonts == pictures.fonts_here(drawn.values())
    images = dict[str, str | None]()
    for name, svg in drawn.items():
        image = name.removesuffix(".svg") + ".png"
        known = recorded.get(Path(image).name)
        images |= {Path(name).name: pictures.sha256(svg.encode()), Path(image).name: known}
        if not (run.path / image).is_file():
            yield missing(image)
            continue
        data = paths.read_bytes(run.path / image)
        digest = pictures.sha256(data)
        if digest != known:
            yield Drift(image, "sha256", known, f"the file has {short(digest)}")
        elif (named := pictures.named_svg(data)) != images[Path(name).name]:
            yield Drift(image, "drawing", named, f"it is to be made from {name}")
        elif again and data != pictures.draw_png(svg):
            yield Drift(image, "content", "another picture", f"{name} gives another one")
    if not again and drawn:
        notes.append(
            f"the {len(drawn)} pictures (PNG) were not drawn again here, because other fonts or "
            "another renderer drew them; their hashes were compared"
        )
    if not (run.path / pictures.SUMS).is_file():
        yield missing(pictures.SUMS)
        return
    sums = pictures.sums(images, fonts or "unknown")
    drift = text_drift(pictures.SUMS, run.read_text_file(pictures.SUMS), sums)
    if drift is not None:
        yield Drift(
            pictures.SUMS, drift.key, drift.recorded, "its pictures and drawings give another line"
        )


def report_files(run: RunFolder) -> set[str]:
    """Return the files of a report that are there, as far as their names tell."""
    from quantrial.reporting import pictures

    plots = (run.path / pictures.PLOTS).glob("*.*")
    images = [path.name for path in plots if path.suffix in (".svg", ".png")]
    return {REPORT, PAGE, DATA, pictures.SUMS, *(f"{pictures.PLOTS}/{name}" for name in images)}


def older_report_drifts(run: RunSnapshot) -> Iterator[Drift]:
    """Check what can be without deriving anything: files are there, pictures have their hashes."""
    from quantrial.reporting import pictures

    for name, remedy in ((DECISION, "`quantrial decide` makes it"), (REPORT, ""), (PAGE, "")):
        if not (run.path / name).is_file():
            yield missing(name, remedy or REPORT_AGAIN)
    if not (run.path / pictures.SUMS).is_file():
        yield missing(pictures.SUMS)
        return
    text = run.read_text_file(pictures.SUMS).decode("utf-8", "replace")
    for name, known in pictures.read_sums(text).items():
        file = f"{pictures.PLOTS}/{name}"
        if not (run.path / file).is_file():
            yield missing(file)
            continue
        data = (
            run.read_text_file(file) if name.endswith(".svg") else paths.read_bytes(run.path / file)
        )
        if (digest := pictures.sha256(data)) != known:
            yield Drift(file, "sha256", known, f"the file has {short(digest)}")


def _constraints_of_report(text: str) -> str | None:
    """Read which options of `decide` a report names among its commands; None where it names none.

    It is asked only where files are as the program writes them: what was edited is found line by
    line.
    """
    found = re.findall(r"^\s*quantrial decide RUN(.*)$", text, re.MULTILINE)
    return found[-1].strip() if found else None


# Summaries of other versions: their types may not fit, so they are compared as JSON.

_PARTS_NAMED = 8
_VERDICTS_NAMED = 6
# they are about the analysis, not of it
_APART = ("inputs", "quantrial", "methods_version")


def made_by_other_methods(
    run: Path, recorded: Mapping[str, Any], derived: Mapping[str, Any]
) -> str:
    """Say who made a summary, what this version derives otherwise, and what was not compared."""
    by = _maker(recorded)
    parts = changed_parts(recorded, derived)
    here = f"quantrial {__version__} here goes by version {METHODS_VERSION}"
    if methods_version(recorded) < METHODS_VERSION:
        since = "; ".join(changes_since(methods_version(recorded)))
        here += f" (since then: {since})"
    other = f"It derives other numbers in {parts}" if parts else "It derives the same numbers"
    return (
        f"summary.json was made by {by}; {here}. {other}. Summary, decision and report were not "
        f"compared; `quantrial analyze {run}` derives them anew and says what changes"
    )


def derived_anew(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Say what changed where a folder that other methods analysed is analysed anew."""
    parts = changed_parts(before, after)
    said = [
        f"summary.json was made by {_maker(before)} and was derived anew by version "
        f"{METHODS_VERSION}",
        f"numbers changed in {parts}" if parts else "no number changed",
    ]
    verdicts = list(_verdicts(before, after))
    if verdicts:
        more = len(verdicts) - _VERDICTS_NAMED
        said.append(
            "verdicts: "
            + ", ".join(verdicts[:_VERDICTS_NAMED])
            + (f" and {more} more" if more > 0 else "")
        )
    elif parts:
        said.append("no verdict changed")
    return "; ".join(said)


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name the parts of a summary that differ, with how many places in each."""
    found = differences(
        *({k: v for k, v in one.items() if k not in _APART} for one in (before, after))
    )
    counts = Counter(map(_part, found))
    named = [f"{part} ({count:,})" for part, count in counts.items()]
    more = len(named) - _PARTS_NAMED
    return listed([*named[:_PARTS_NAMED], *([f"{more} more parts"] if more > 0 else [])])


def only_words(recorded: Mapping[str, Any], derived: Mapping[str, Any]) -> bool:
    """Whether two documents differ in sentences alone, and in no number and no verdict."""
    return all(
        # a sentence that came with a later version has none before it
        _is_words(one.derived) and (one.recorded is ABSENT or _is_words(one.recorded))
        for one in differences(recorded, derived)
    )


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and " " in value


def _maker(summary: Mapping[str, Any]) -> str:
    """Name what made a summary: the version of the methods, and of quantrial where it is told."""
    version, by = methods_version(summary), summary.get("quantrial")
    if isinstance(by, str):
        return f"version {version} of the methods (quantrial {by})"
    return f"version {version} of the methods (an early quantrial, which did not write its version)"


def _part(found: Difference) -> str:
    """Name the part that a place is in: `tasks.quiz.endpoints`, `statements`."""
    deep = 3 if found.path[0] == "tasks" else 1
    return ".".join(str(step) for step in found.path[:deep])


def _verdicts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what became of each contrast that has another verdict now."""
    then = dict(_contrasts(before))
    for name, now in _contrasts(after):
        if name in then and then[name] != now:
            yield f"{name} was {verdict_word(then[name])} and is {verdict_word(now)}"


def _contrasts(summary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    tasks = summary.get("tasks")
    for part in _mappings(tasks.values() if isinstance(tasks, Mapping) else ()):
        endpoints = part.get("endpoints")
        for endpoint in _mappings(endpoints.values() if isinstance(endpoints, Mapping) else ()):
            contrasts = endpoint.get("contrasts")
            for one in _mappings(contrasts if isinstance(contrasts, list) else ()):
                yield str(one.get("id")), one.get("verdict")


def _mappings(values: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    return (value for value in values if isinstance(value, Mapping))
