"""A run's results in the forms that other places take: tables, a model card, a paragraph."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.agreement import fixed
from quantrial.decision.words import left_open
from quantrial.findings import adjusted_p
from quantrial.inert import clean
from quantrial.precision import stated_of, weights_in_words
from quantrial.registry import TASKS
from quantrial.reporting.markdown import code, escape
from quantrial.strict_yaml import write_yaml
from quantrial.words import (
    VERDICT_WORDS,
    endpoint,
    listed,
    memory_noun,
    p_value_in_sentence,
    plural,
    points,
    points_interval,
    ratio,
)

if TYPE_CHECKING:
    from quantrial.study import Study

Document = Mapping[str, Any]

# What each row holds; fractions, and null where something is not known or does not apply.
COLUMNS = (
    *("study", "task", "workload", "endpoint", "primary", "arm", "reference", "control"),
    *("n", "estimate", "low", "high", "confidence"),
    *("difference", "difference_low", "difference_high", "difference_confidence", "pairs"),
    *("p_value", "p_adjusted", "margin", "equivalence_low", "equivalence_high", "verdict"),
    *("memory_bytes", "speedup", "finding"),
)


def rows(summary: Document, decision: Document) -> Iterator[dict[str, Any]]:
    """Yield the rows of a summary: tasks, endpoints and arms in their order; texts are inert."""
    reference = summary["reference"]
    for task, part in summary["tasks"].items():
        for name, results in part["endpoints"].items():
            against = _against(results["contrasts"], reference)
            tests = _against(results["equivalence"], reference)
            for arm, own in results["arms"].items():
                row: dict[str, Any] = dict.fromkeys(COLUMNS)
                cost = decision["costs"].get(arm, {})
                row |= {
                    "study": summary["study"]["name"],
                    "task": task,
                    "workload": clean(part["workload"]),
                    "endpoint": name,
                    "primary": name == part["primary"],
                    "arm": arm,
                    "reference": reference,
                    "control": bool(summary["arms"][arm].get("control")),
                    "n": own["n"],
                    "estimate": own["estimate"],
                    "low": own["ci"][0],
                    "high": own["ci"][1],
                    "confidence": own["confidence"],
                    "memory_bytes": summary["arms"][arm]["memory_bytes"],
                    "speedup": cost.get("speedup"),
                }
                if arm in against:
                    row |= _contrast(against[arm], tests[arm])
                yield row


def _against(contrasts: list[Document], reference: str) -> dict[str, Document]:
    return {one["candidate"]: one for one in contrasts if one["reference"] == reference}


def _contrast(one: Document, test: Document) -> dict[str, Any]:
    return {
        "difference": one["estimate"],
        "difference_low": one["ci"][0],
        "difference_high": one["ci"][1],
        "difference_confidence": one["confidence"],
        "pairs": one["n"],
        "p_value": one["p_value"],
        "p_adjusted": adjusted_p(one),
        "margin": test["margin"],
        "equivalence_low": test["ci"][0],
        "equivalence_high": test["ci"][1],
        "verdict": one["verdict"],
        "finding": one["id"],
    }


def as_json(study: Study, summary: Document, decision: Document) -> str:
    """Write the rows as a JSON array of objects."""
    found = list(rows(summary, decision))
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_csv(study: Study, summary: Document, decision: Document) -> str:
    """Write the rows as CSV; a text that a spreadsheet would run as a formula is quoted off."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(summary, decision):
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.lstrip()[:1] in ("=", "+", "-", "@") else value


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
        parts.append("\n".join(_latex_table(summary, decision, task)))
    return "\n\n".join(parts) + "\n"


def _latex_table(summary: Document, decision: Document, task: str) -> Iterator[str]:
    part = summary["tasks"][task]
    found = [row for row in rows(summary, decision) if row["task"] == task]
    reference, level = latex_escape(summary["reference"]), _level(found[0]["confidence"])
    yield "\\begin{table}"
    yield "  \\centering"
    yield (
        f"  \\caption{{{latex_escape(part['workload'])} ({latex_escape(task)}): "
        f"{part['flow']['analysed_items']} items; differences from {reference}, paired by item, "
        f"negative is a loss; {level} intervals; $p$ adjusted by Holm; margin "
        f"{_latex_points(part['margin'], signed=False)} pp; {latex_escape(summary['methods'])} "
        "methods.}"
    )
    yield f"  \\label{{tab:{_latex_label(summary['study']['name'])}-{_latex_label(task)}}}"
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
        name = endpoint(row["endpoint"]) if row["endpoint"] != last else ""
        last = row["endpoint"]
        yield f"    {' & '.join([latex_escape(name), *_latex_cells(row)])} \\\\"
    yield "    \\bottomrule"
    yield "  \\end{tabular}"
    yield "\\end{table}"


def _latex_cells(row: Document) -> Iterator[str]:
    yield latex_escape(row["arm"])
    yield "--" if row["estimate"] is None else fixed(100 * row["estimate"], 1)
    yield _latex_interval(row["low"], row["high"], signed=False)
    if row["finding"] is None:
        yield from ("reference", "", "")
        return
    interval = _latex_interval(row["difference_low"], row["difference_high"], signed=True)
    yield "--" if row["difference"] is None else f"{_latex_points(row['difference'])} ({interval})"
    yield _latex_p(row["p_adjusted"])
    yield latex_escape(VERDICT_WORDS.get(row["verdict"], row["verdict"] or ""))


def _latex_interval(low: float | None, high: float | None, *, signed: bool) -> str:
    if low is None or high is None:
        return "--"
    return f"{_latex_points(low, signed=signed)} to {_latex_points(high, signed=signed)}"


def _latex_points(value: float, *, signed: bool = True) -> str:
    shown = fixed(100 * value, 1, "+") if signed else fixed(100 * value, 1)
    return shown.lstrip("+-") if float(shown) == 0 else shown.replace("-", "$-$")


def _latex_p(value: float | None) -> str:
    return "--" if value is None else p_value_in_sentence(value).replace("<", "$<$")


def _level(confidence: float) -> str:
    return f"{round(100 * confidence, 1):g}\\,\\%"


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


# The hub's own names of metrics.
_METRICS = {"micro_f1": "f1", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}


def model_card(study: Study, summary: Document, decision: Document) -> str:
    """Write a model card's front matter (`model-index` of the hub): every arm but controls.

    Values are fractions. `args` of a metric say what the hub has no key for: the interval, and the
    paired difference from the reference with its interval, margin and verdict.
    """
    found = [row for row in rows(summary, decision) if not row["control"]]
    index = [
        {
            "name": clean(arm),
            "results": [_result(study, summary, task, arm, found) for task in summary["tasks"]],
        }
        for arm in summary["arms"]
        if any(row["arm"] == arm for row in found)
    ]
    block = write_yaml({"model-index": index}, width=1000)
    return f"---\n{block}---\n"


def _result(
    study: Study, summary: Document, task: str, arm: str, found: list[dict[str, Any]]
) -> dict[str, Any]:
    part = summary["tasks"][task]
    metrics = [
        _metric(row, summary["arms"][arm])
        for row in found
        if (row["arm"], row["task"]) == (arm, task)
    ]
    return {
        "task": {
            "type": TASKS.load(part["kind"]).hub_task,
            "name": clean(part["workload"]),
        },
        "dataset": dict(_dataset(study, task)),
        "metrics": [metric for metric in metrics if metric["value"] is not None],
        "source": {
            "name": f"quantrial, study {clean(summary['study']['name'])} "
            f"({summary['study']['hash'][:12]}), {summary['methods']} methods",
            "url": "https://github.com/quantrial/quantrial",
        },
    }


def _dataset(study: Study, task: str) -> Iterator[tuple[str, str]]:
    source = study.tasks[task].source.model_dump(mode="json")
    repo = source.get("repo")
    yield "name", clean(task)
    yield "type", clean(repo) if repo else clean(f"quantrial-{source['type']}")
    for key in ("config", "split", "revision"):
        if source.get(key):
            yield key, clean(str(source[key]))


def _metric(row: Document, record: Document) -> dict[str, Any]:
    args: dict[str, Any] = {"n": row["n"], "interval": [row["low"], row["high"]]}
    args["confidence"] = row["confidence"]
    if record.get("quantized_before") or "type" in stated_of(record):
        args["weights"] = weights_in_words(record)
    if row["finding"] is not None:
        args |= {
            "reference": clean(row["reference"]),
            "difference": row["difference"],
            "difference_interval": [row["difference_low"], row["difference_high"]],
            "margin": row["margin"],
            "verdict": row["verdict"],
        }
    return {
        "type": _METRICS.get(row["endpoint"], row["endpoint"]),
        "name": row["endpoint"],
        "value": row["estimate"],
        "args": args,
    }


_DOUBTS = 3  # are written out; the report holds all


def paragraph(study: Study, summary: Document, decision: Document) -> str:
    """Write the pick, each other arm on each workload, what is in doubt, and how to check it."""
    given = decision.get("constrained")
    opening = (given or decision["default"])["text"].split(":")[0].split(". ")[0].rstrip(".")
    items = listed(
        [
            f"{plural(part['flow']['analysed_items'], 'item')} of {part['workload']}"
            for part in summary["tasks"].values()
        ]
    )
    arms = " ".join(f"{_arm(summary, decision, arm)}." for arm in decision["costs"])
    check = (
        f"Study {code(summary['study']['name'])} ({code(summary['study']['hash'][:12])}), "
        f"{escape(summary['methods'])} methods; {code('quantrial verify RUN')} derives every "
        "number again."
    )
    said = "".join(f" {one}" for one in _doubts(decision))
    return f"**{escape(opening)}**, after {escape(items)}. {arms}{said} {check}\n"


def _doubts(decision: Document) -> Iterator[str]:
    """Say what puts the trial in doubt; of what rests on a finding the report tells."""
    texts = [one["text"] for one in decision["cautions"] if not one["because"]]
    if texts:
        yield f"**Caution:** {escape(' '.join(texts[:_DOUBTS]))}"
    if len(texts) > _DOUBTS:
        yield f"{plural(len(texts) - _DOUBTS, 'caution')} more in the report."


def _arm(summary: Document, decision: Document, arm: str) -> str:
    if arm == summary["reference"]:
        return f"{code(arm)} is the reference"
    cost = decision["costs"][arm]
    held = memory_noun(decision["picker"].get("memory_source"))
    share = cost["memory_ratio"]
    has = [
        *([f"{fixed(100 * share, 0)} % of the {held}"] if share else []),
        *([f"{ratio(cost['speedup'])} the speed"] if cost["speedup"] else []),
    ]
    costs = f" ({escape(' and '.join(has))})" if has else ""
    said = listed(list(_standings(summary, decision, arm))) or "was not compared"
    return f"{code(arm)}{costs} {said}"


def _standings(summary: Document, decision: Document, arm: str) -> Iterator[str]:
    for task, part in summary["tasks"].items():
        row = decision["picker"]["tasks"][task]["arms"][arm]
        if row["finding"] is None:
            continue
        finding = decision["findings"][row["finding"]]
        word = left_open(row) or VERDICT_WORDS.get(finding["verdict"], finding["verdict"])
        own = "equivalence_" if finding["verdict"] in ("equivalent", "non_inferior") else ""
        level = f"{round(100 * finding[f'{own}confidence'], 1):g} %"
        yield (
            f"is {escape(word)} on {escape(part['workload'])} "
            f"({points(finding['estimate'])}, {level} interval "
            f"{points_interval(finding[f'{own}ci'])})"
        )


EXPORTS: Mapping[str, Callable[[Study, Mapping[str, Any], Mapping[str, Any]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "latex": latex,
    "model-card": model_card,
    "paragraph": paragraph,
}
