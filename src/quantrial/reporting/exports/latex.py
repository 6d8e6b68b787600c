"""Tables for a paper: one a task, its primary endpoint first (needs the package `booktabs`)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.agreement import fixed
from quantrial.inert import clean
from quantrial.reporting.exports.rows import rows
from quantrial.words import VERDICT_WORDS
from quantrial.words import endpoint as endpoint_words

if TYPE_CHECKING:
    from quantrial.study import Study

Document = Mapping[str, Any]

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


def latex(study: Study, summary: Document, decision: Document) -> str:
    """Write a `table` for each task; captions name what was compared, and how."""
    parts = [_PREAMBLE]
    for task in summary["tasks"]:
        parts.append("\n".join(_table(summary, decision, task)))
    return "\n\n".join(parts) + "\n"


def _table(summary: Document, decision: Document, task: str) -> Iterator[str]:
    part = summary["tasks"][task]
    found = [row for row in rows(summary, decision) if row["task"] == task]
    reference, level = escape(summary["reference"]), _level(found[0]["confidence"])
    yield "\\begin{table}"
    yield "  \\centering"
    yield (
        f"  \\caption{{{escape(part['workload'])} ({escape(task)}): "
        f"{part['flow']['analysed_items']} items; differences from {reference}, paired by item, "
        f"negative is a loss; {level} intervals; $p$ adjusted by Holm; margin "
        f"{_points(part['margin'], signed=False)} pp; {escape(summary['methods'])} methods.}}"
    )
    yield f"  \\label{{tab:{_label(summary['study']['name'])}-{_label(task)}}}"
    # classes set a caption for below a table; and seven columns have to fit one of text
    yield "  \\smallskip"
    yield "  \\footnotesize\\setlength{\\tabcolsep}{4pt}"
    yield "  \\begin{tabular}{@{}llrrrrl@{}}"
    yield "    \\toprule"
    yield (f"    endpoint & arm & \\% & {level} & difference (pp) & $p$ & verdict \\\\")
    last = None
    for row in found:
        if row["endpoint"] != last:
            yield "    \\midrule"
        name = endpoint_words(row["endpoint"]) if row["endpoint"] != last else ""
        last = row["endpoint"]
        yield f"    {' & '.join([escape(name), *_cells(row)])} \\\\"
    yield "    \\bottomrule"
    yield "  \\end{tabular}"
    yield "\\end{table}"


def _cells(row: Document) -> Iterator[str]:
    yield escape(row["arm"])
    yield "--" if row["estimate"] is None else fixed(100 * row["estimate"], 1)
    yield _interval(row["low"], row["high"], signed=False)
    if row["finding"] is None:
        yield from ("reference", "", "")
        return
    interval = _interval(row["difference_low"], row["difference_high"], signed=True)
    yield "--" if row["difference"] is None else f"{_points(row['difference'])} ({interval})"
    yield _p(row["p_adjusted"])
    yield escape(VERDICT_WORDS.get(row["verdict"], row["verdict"] or ""))


def _interval(low: float | None, high: float | None, *, signed: bool) -> str:
    if low is None or high is None:
        return "--"
    return f"{_points(low, signed=signed)} to {_points(high, signed=signed)}"


def _points(value: float, *, signed: bool = True) -> str:
    shown = fixed(100 * value, 1, "+") if signed else fixed(100 * value, 1)
    return shown.lstrip("+-") if float(shown) == 0 else shown.replace("-", "$-$")


def _p(value: float | None) -> str:
    if value is None:
        return "--"
    if value < 0.001:
        return "$<$ .001"
    return "1" if value >= 0.9995 else fixed(value, 3).removeprefix("0")


def _level(confidence: float) -> str:
    return f"{round(100 * confidence, 1):g}\\,\\%"


def _label(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)


def escape(text: str) -> str:
    """Make outside text show as it is in LaTeX."""
    return "".join(map(_escaped, clean(text)))


def _escaped(character: str) -> str:
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
