"""A run's results in the forms that other places take: tables, a model card, a paragraph."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.agreement import fixed
from quantrial.documents import ArmSummary, Contrast, Summary, TaskSummary
from quantrial.documents.contrasts import adjusted_p
from quantrial.documents.decision import Decision
from quantrial.inert import clean
from quantrial.precision import weights_in_words
from quantrial.registry import kind_of
from quantrial.reporting.charts.badge import badge
from quantrial.reporting.markdown import code, escape
from quantrial.reporting.sections.serving import serving
from quantrial.strict_yaml import write_yaml
from quantrial.words import (
    amount,
    difference,
    difference_interval,
    endpoint,
    left_open,
    level,
    listed,
    memory_noun,
    p_value_in_sentence,
    plural,
    ratio,
    verdict_word,
)

if TYPE_CHECKING:
    from quantrial.records import Manifest
    from quantrial.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One arm on one endpoint, beside its contrast with the reference.

    Fractions, or in `unit`; None where something is not known or does not apply. `better` says
    which values are, `higher` or `lower`.
    """

    study: str
    task: str
    workload: str
    endpoint: str
    primary: bool
    arm: str
    reference: str
    control: bool
    n: int
    estimate: float | None
    low: float | None
    high: float | None
    confidence: float | None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    difference_confidence: float | None = None
    pairs: int | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    margin: float | None = None
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    verdict: str | None = None
    memory_bytes: int | None
    speedup: float | None
    finding: str | None = None
    unit: str | None = None
    better: str = "higher"


COLUMNS = tuple(field.name for field in fields(Row))


def rows(summary: Summary, decision: Decision) -> Iterator[Row]:
    """Yield the rows of a summary: tasks, endpoints and arms in their order; texts are inert."""
    for task, part in summary.tasks.items():
        for name, results in part.endpoints.items():
            against = {
                one.candidate: one
                for one in results.contrasts
                if one.reference == summary.reference
            }
            for arm, own in results.arms.items():
                cost = decision.costs.get(arm)
                row = Row(
                    study=summary.study.name,
                    task=task,
                    workload=clean(part.workload),
                    endpoint=name,
                    primary=name == part.primary,
                    arm=arm,
                    reference=summary.reference,
                    control=bool(summary.arms[arm].control),
                    n=own.n,
                    estimate=own.estimate,
                    low=own.ci[0],
                    high=own.ci[1],
                    confidence=own.confidence,
                    memory_bytes=summary.arms[arm].memory_bytes,
                    speedup=None if cost is None else cost.speedup,
                    unit=results.unit,
                    better=results.direction,
                )
                contrast = against.get(arm)
                yield row if contrast is None else _compared(row, contrast)


def _compared(row: Row, contrast: Contrast) -> Row:
    """Put an arm's contrast with the reference beside its own results."""
    test = contrast.equivalence
    return replace(
        row,
        difference=contrast.estimate,
        difference_low=contrast.ci[0],
        difference_high=contrast.ci[1],
        difference_confidence=contrast.confidence,
        pairs=contrast.n,
        p_value=contrast.p_value,
        p_adjusted=adjusted_p(contrast),
        margin=None if test is None else test.margin,
        equivalence_low=None if test is None else test.ci[0],
        equivalence_high=None if test is None else test.ci[1],
        verdict=contrast.verdict,
        finding=contrast.id,
    )


def as_json(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Write the rows as a JSON array of objects."""
    found = list(rows(summary, decision))
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_csv(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Write the rows as CSV; a text that a spreadsheet would run as a formula is quoted off."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(summary, decision):
        writer.writerow({key: _cell(value) for key, value in asdict(row).items()})
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return quoted_off(value)


def quoted_off(text: str) -> str:
    """Keep a text from being run as a formula by a spreadsheet."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",  # a macro of its own name needs another encoding than the default
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two of them would become a dash
    "'": "{'}",
    "\N{MINUS SIGN}": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


# What every engine has a macro for; other letters are left to those that read Unicode.
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u"},
    **{"\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}
_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l"}
_PREAMBLE = r"""% needs \usepackage{booktabs}
% letters beyond Latin: as they are by LuaLaTeX and XeLaTeX, written out by pdfLaTeX
\ifdefined\quantrialletter\else
  \DeclareRobustCommand{\quantrialletter}[2]{%
    \ifdefined\directlua#2\else\ifdefined\XeTeXversion#2\else\texttt{U+#1}\fi\fi}
\fi"""


def latex(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Write a `table` for each task; captions name what was compared, and how."""
    parts = [_PREAMBLE]
    for task in summary.tasks:
        parts.append("\n".join(_latex_table(summary, decision, task)))
    return "\n\n".join(parts) + "\n"


def _latex_table(summary: Summary, decision: Decision, task: str) -> Iterator[str]:
    part = summary.tasks[task]
    main = part.main
    found = [row for row in rows(summary, decision) if row.task == task]
    reference, at = latex_escape(summary.reference), _latex_level(found[0].confidence)
    yield "\\begin{table}"
    yield "  \\centering"
    yield (
        f"  \\caption{{{latex_escape(part.workload)} ({latex_escape(task)}): "
        f"{part.flow.analysed_items} items; differences from {reference}, paired by item, "
        f"{_latex_losses(part)}; {at} intervals; $p$ adjusted by Holm; margin "
        f"{_latex_number(part.margin, main.unit, signed=False)} {latex_escape(main.unit or 'pp')}; "
        f"{latex_escape(summary.methods)} methods.}}"
    )
    yield f"  \\label{{tab:{_latex_label(summary.study.name)}-{_latex_label(task)}}}"
    # classes set a caption for below a table; and seven columns have to fit one of text
    yield "  \\smallskip"
    yield "  \\footnotesize\\setlength{\\tabcolsep}{4pt}"
    yield "  \\begin{tabular}{@{}llrrrrl@{}}"
    yield "    \\toprule"
    shares = all(row.unit is None for row in found)
    heads = ("\\%", "difference (pp)") if shares else ("value", "difference")
    yield f"    endpoint & arm & {heads[0]} & {at} & {heads[1]} & $p$ & verdict \\\\"
    last = None
    for row in found:
        if row.endpoint != last:
            yield "    \\midrule"
        called = endpoint(part.label(row.endpoint))
        named = called if shares else f"{called} ({row.unit or '%'})"
        name = named if row.endpoint != last else ""
        last = row.endpoint
        yield f"    {' & '.join([latex_escape(name), *_latex_cells(row)])} \\\\"
    yield "    \\bottomrule"
    yield "  \\end{tabular}"
    yield "\\end{table}"


def _latex_losses(part: TaskSummary) -> str:
    """Say which differences are a loss."""
    found = part.endpoints.items()
    lower = [endpoint(part.label(name)) for name, one in found if one.direction == "lower"]
    if not lower:
        return "negative is a loss"
    return f"negative is a loss, but of {latex_escape(listed(lower))} positive is"


def _latex_cells(row: Row) -> Iterator[str]:
    yield latex_escape(row.arm)
    yield "--" if row.estimate is None else _latex_number(row.estimate, row.unit, signed=False)
    yield _latex_interval(row.low, row.high, row.unit, signed=False)
    if row.finding is None:
        yield from ("reference", "", "")
        return
    interval = _latex_interval(row.difference_low, row.difference_high, row.unit, signed=True)
    if row.difference is None:
        yield "--"
    else:
        yield f"{_latex_number(row.difference, row.unit, signed=True)} ({interval})"
    yield _latex_p(row.p_adjusted)
    yield latex_escape(verdict_word(row.verdict or ""))


def _latex_interval(
    low: float | None, high: float | None, unit: str | None, *, signed: bool
) -> str:
    if low is None or high is None:
        return "--"
    return " to ".join(_latex_number(end, unit, signed=signed) for end in (low, high))


def _latex_number(value: float, unit: str | None, *, signed: bool) -> str:
    """Write a number without its unit; of a share in percent, or points."""
    if unit is not None:
        text = difference(value, unit) if signed else amount(value, unit)
        return text.removesuffix(f" {unit}").replace("\N{MINUS SIGN}", "$-$")
    shown = fixed(100 * value, 1, "+") if signed else fixed(100 * value, 1)
    return shown.lstrip("+-") if float(shown) == 0 else shown.replace("-", "$-$")


def _latex_p(value: float | None) -> str:
    return "--" if value is None else p_value_in_sentence(value).replace("<", "$<$")


def _latex_level(confidence: float | None) -> str:
    return "--" if confidence is None else level(confidence).replace(" %", "\\,\\%")


def _latex_label(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)


def latex_escape(text: str) -> str:
    """Make outside text show as it is in LaTeX."""
    return "".join(map(_latex_character, clean(text)))


def _latex_character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if character.isascii():
        return character
    if character in _LETTERS:
        return f"\\{_LETTERS[character]}{{}}"
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"\\quantrialletter{{{ord(character):04X}}}{{{character}}}"


def model_card(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Write a model card: the hub's `model-index` of every arm but controls, and how to serve one.

    Values are fractions. `args` of a metric say what the hub has no key for: the interval, and the
    paired difference from the reference with its interval, margin and verdict.
    """
    found = [row for row in rows(summary, decision) if not row.control]
    index = [
        {
            "name": clean(arm),
            "results": [_result(study, summary, task, arm, found) for task in summary.tasks],
        }
        for arm in summary.arms
        if any(row.arm == arm for row in found)
    ]
    block = write_yaml({"model-index": index}, width=1000)
    return f"---\n{block}---\n{_serving(decision, manifest)}"


def _serving(decision: Decision, manifest: Manifest) -> str:
    """Write how to serve the arm that is recommended, for the text below the front matter."""
    found = serving(decision, manifest)
    if found is None:
        return ""
    block = "".join(f"{command}\n" for command in found.commands)
    shown = f"```sh\n{block}```\n\n" if block else ""
    notes = "".join(f"- {escape(note)}\n" for note in found.notes)
    return f"\n## {escape(found.title)}\n\n{shown}{notes}"


def _result(
    study: Study, summary: Summary, task: str, arm: str, found: list[Row]
) -> dict[str, Any]:
    part = summary.tasks[task]
    names = {one.name: one.hub_metric for one in kind_of(part).endpoints}
    metrics = [
        _metric(row, summary.arms[arm], names.get(row.endpoint) or row.endpoint)
        for row in found
        if (row.arm, row.task) == (arm, task) and row.estimate is not None
    ]
    return {
        "task": {
            "type": kind_of(part).hub_task,
            "name": clean(part.workload),
        },
        "dataset": dict(_dataset(study, task)),
        "metrics": metrics,
        "source": {
            "name": f"quantrial, study {clean(summary.study.name)} "
            f"({summary.study.hash[:12]}), {summary.methods} methods",
            "url": "https://github.com/quantrial/quantrial",
        },
    }


def _dataset(study: Study, task: str) -> Iterator[tuple[str, Any]]:
    source = study.tasks[task].source.model_dump(mode="json")
    repo = source.get("repo")
    yield "name", clean(task)
    yield "type", clean(repo) if repo else clean(f"quantrial-{source['type']}")
    for key in ("config", "split", "revision"):
        if source.get(key):
            yield key, clean(str(source[key]))
    if source.get("path"):  # the user's own file, without its folder
        yield "args", {"file": clean(PureWindowsPath(PurePosixPath(source["path"]).name).name)}


def _metric(row: Row, arm: ArmSummary, name: str) -> dict[str, Any]:
    args: dict[str, Any] = {"n": row.n, "interval": [row.low, row.high]}
    args["confidence"] = row.confidence
    if arm.quantized_before or "type" in arm.weights_stated:
        args["weights"] = weights_in_words(arm)
    if row.finding is not None:
        args |= {
            "reference": clean(row.reference),
            "difference": row.difference,
            "difference_interval": [row.difference_low, row.difference_high],
            "margin": row.margin,
            "verdict": row.verdict,
        }
    if row.unit is not None or row.better != "higher":
        args |= {"unit": row.unit or "fraction", "better": row.better}
    return {
        "type": name,
        "name": row.endpoint,
        "value": row.estimate,
        "args": args,
    }


_DOUBTS = 3  # are written out; the report holds all


def paragraph(study: Study, summary: Summary, decision: Decision, manifest: Manifest) -> str:
    """Write the pick, each other arm on each workload, what is in doubt, and how to check it."""
    given = decision.constrained
    opening = (given or decision.default).text.split(":")[0].split(". ")[0].rstrip(".")
    items = listed(
        [
            f"{plural(part.flow.analysed_items, 'item')} of {part.workload}"
            for part in summary.tasks.values()
        ]
    )
    arms = " ".join(f"{_arm(summary, decision, arm)}." for arm in decision.costs)
    check = (
        f"Study {code(summary.study.name)} ({code(summary.study.hash[:12])}), "
        f"{escape(summary.methods)} methods; {code('quantrial verify RUN')} derives every "
        "number again."
    )
    said = "".join(f" {one}" for one in _doubts(decision))
    return f"**{escape(opening)}**, after {escape(items)}. {arms}{said} {check}\n"


def _doubts(decision: Decision) -> Iterator[str]:
    """Say what puts the trial in doubt; of what rests on a finding the report tells."""
    texts = [one.text for one in decision.cautions if not one.because]
    if texts:
        yield f"**Caution:** {escape(' '.join(texts[:_DOUBTS]))}"
    if len(texts) > _DOUBTS:
        yield f"{plural(len(texts) - _DOUBTS, 'caution')} more in the report."


def _arm(summary: Summary, decision: Decision, arm: str) -> str:
    if arm == summary.reference:
        return f"{code(arm)} is the reference"
    cost = decision.costs[arm]
    held = memory_noun(decision.picker.memory_source)
    share = cost.memory_ratio
    has = [
        *([f"{fixed(100 * share, 0)} % of the {held}"] if share else []),
        *([f"{ratio(cost.speedup)} the speed"] if cost.speedup else []),
    ]
    costs = f" ({escape(' and '.join(has))})" if has else ""
    said = listed(list(_standings(summary, decision, arm))) or "was not compared"
    return f"{code(arm)}{costs} {said}"


def _standings(summary: Summary, decision: Decision, arm: str) -> Iterator[str]:
    for task, part in summary.tasks.items():
        row = decision.picker.tasks[task].arms[arm]
        if row.finding is None:
            continue
        finding = decision.findings[row.finding]
        word = left_open(row) or verdict_word(finding.verdict, finding.against)
        ends, confidence = finding.ci, finding.confidence
        if finding.verdict in ("equivalent", "non_inferior"):
            ends, confidence = finding.equivalence_ci, finding.equivalence_confidence
        yield (
            f"is {escape(word)} on {escape(part.workload)} "
            f"({difference(finding.estimate, finding.unit)}, {level(confidence)} interval "
            f"{difference_interval(ends, finding.unit)})"
        )


EXPORTS: Mapping[str, Callable[[Study, Summary, Decision, Manifest], str]] = {
    "json": as_json,
    "csv": as_csv,
    "latex": latex,
    "model-card": model_card,
    "paragraph": paragraph,
    "badge": badge,
}
