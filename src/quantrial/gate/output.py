"""What a pipeline is told of a gate: JUnit for its test report, Markdown for its summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from quantrial.inert import clean

if TYPE_CHECKING:
    from quantrial.gate.verdict import GateResult, Line

MOST_COMMENT = 60_000  # characters; a comment on GitHub has at most 65,536
_MOST_TEXT = 500
_MOST_IDS = 100
_MOST_LISTED = 20  # ids of a line, and lines, in Markdown
_MOST_ID = 60  # characters
_SIGNS = {"met": "✅", "violated": "❌", "undecided": "❔", "invalid": "⚠️"}
_HEADLINES = {
    "met": "passed",
    "violated": "failed",
    "undecided": "undecided",
    "invalid": "invalid",
}


def headline(result: GateResult) -> str:
    """Say how a gate ended: `gate failed (exit 1)`."""
    return f"gate {_HEADLINES[result.outcome]} (exit {result.exit_code})"


def junit(result: GateResult) -> str:
    """Write JUnit XML, valid against `junit-10.xsd` of Jenkins' xUnit plugin.

    One suite a task (one more for what is about no task), one case a requirement and arm; a
    violation is a failure, an undecided or invalid requirement an error. Ids of items that turned
    stand in `system-out`, the first hundred.
    """
    root = ElementTree.Element("testsuites", name=_xml(f"quantrial {result.study}"))
    by_task: dict[str, list[Line]] = {}
    for line in result.lines:
        by_task.setdefault(line.task or "speed and memory", []).append(line)
    if result.invalid:
        by_task["validity checks"] = []
    for task, lines in by_task.items():
        checks = result.invalid if task == "validity checks" and not lines else ()
        _suite(root, result, task, lines, checks)
    ElementTree.indent(root)
    written = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{written}\n'


def _suite(
    root: ElementTree.Element,
    result: GateResult,
    task: str,
    lines: Sequence[Line],
    checks: Sequence[str],
) -> None:
    failures = sum(line.outcome == "violated" for line in lines)
    errors = sum(line.outcome in ("undecided", "invalid") for line in lines) + len(checks)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(f"{result.study}.{task}"),
        tests=str(len(lines) + len(checks)),
        failures=str(failures),
        errors=str(errors),
    )
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"study.sha256": result.study_hash, "reference": result.reference}
    for number, line in enumerate(lines, 1):
        measured = {
            "estimate": line.estimate,
            "ci.low": line.ci[0],
            "ci.high": line.ci[1],
            "p": line.p_value,
            "n": line.n,
            "items_needed": line.items_needed,
        }
        known = {name: value for name, value in measured.items() if value is not None}
        facts |= {f"{number}.{name}": str(value) for name, value in known.items()}
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=_xml(name), value=_xml(value))
    place = _xml(f"quantrial.{result.study}.{task}")
    for text in checks:
        case = ElementTree.SubElement(suite, "testcase", name=_xml(text), classname=place)
        ElementTree.SubElement(case, "error", type="invalid", message=_xml(text))
    for line in lines:
        case = ElementTree.SubElement(
            suite, "testcase", name=_xml(line.requirement), classname=place
        )
        if line.outcome == "violated":
            ElementTree.SubElement(case, "failure", type="loss", message=_xml(line.text))
        elif line.outcome != "met":
            kind = "inconclusive" if line.outcome == "undecided" else "invalid"
            ElementTree.SubElement(case, "error", type=kind, message=_xml(line.text))
        out = ElementTree.SubElement(case, "system-out")
        out.text = "\n".join([_xml(line.text), *map(_xml, line.items[:_MOST_IDS])])


def _xml(text: str) -> str:
    """Make a text one that XML can hold: no control characters, no lone surrogates; bounded."""
    return _cut(clean(text[: _MOST_TEXT + 1]))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"


def markdown(result: GateResult) -> str:
    """Write Markdown for the summary of a step, or for a comment that is replaced each time.

    It begins with a marker of the study, `<!-- quantrial:NAME -->`, and has at most 60,000
    characters.
    """
    # two hyphens would end an HTML comment
    marker = clean(result.study).replace("--", "-")
    head = [
        f"<!-- quantrial:{_cut(marker)} -->",
        f"## {_SIGNS[result.outcome]} {_cell(result.study)}: {headline(result)}",
        "",
        f"{_cell(', '.join(result.arms))} compared with {_cell(result.reference)}.",
        "",
        *(f"- ⚠️ {_cell(text)}" for text in result.invalid),
        *([""] if result.invalid else []),
        "| | requirement | result | n |",
        "| --- | --- | --- | --- |",
    ]
    rows = [
        f"| {_SIGNS[line.outcome]} {line.outcome} | {_cell(line.requirement)} | {_cell(line.text)} "
        f"| {'' if line.n is None else f'{line.n:,}'} |"
        for line in result.lines
    ]
    tail = ["", _cell(result.false_alarms)]
    tail += ["", *(f"- note: {_cell(text)}" for text in result.notes)] if result.notes else []
    tail += _turned(result.lines)
    if result.not_checked:
        tail += ["", "<details><summary>Not checked</summary>", ""]
        tail += [*(f"- {_cell(text)}" for text in result.not_checked), "", "</details>"]
    room = MOST_COMMENT - sum(len(line) + 1 for line in (*head, *tail)) - 100
    kept: list[str] = []
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            kept.append(f"| | {len(rows) - len(kept):,} more requirements | see the JUnit file | |")
            break
        kept.append(row)
    return "\n".join((*head, *kept, *tail)) + "\n"


def _turned(lines: Sequence[Line]) -> Iterator[str]:
    """List items that turned from right to wrong, or that changed where nothing is right."""
    named = [line for line in lines if line.items]
    if not named:
        return
    yield from ("", "<details><summary>Items that turned wrong, or changed</summary>", "")
    for line in named[:_MOST_LISTED]:
        ids = ", ".join(_cell(one[:_MOST_ID]) for one in line.items[:_MOST_LISTED])
        more = len(line.items) - _MOST_LISTED
        rest = f" and {more:,} more" if more > 0 else ""
        place = f"{line.arm} on {line.task}"
        yield f"- {_cell(place)} ({len(line.items):,}): {ids}{rest}"
    yield from ("", "</details>")


def _cell(text: str) -> str:
    """Make a text one cell that shows what it says: no markup, no mention, no new line."""
    shown = escape(_xml(text), quote=False)
    for sign in "\\`*_[]|#~":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("@", "@\N{ZERO WIDTH SPACE}")
