"""Trials to look at in a browser: one as it should be, and one of hostile texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from quantrial.analysis import TaskOutcomes, score_task
from quantrial.records import Item, Response
from reporting.trials import Trial, run_trial, written
from studies import arm

# kept for people to look at; git ignores the folder
PICTURES = Path(__file__).parents[3] / ".pictures"

SPANS = '[{"text": "Ada", "type": "PER"}]'
BOTH = '[{"text": "Ada", "type": "PER"}, {"text": "Bo", "type": "PER"}]'
FAULT = {"matching": "number 3 in", "kind": "timeout", "times": 99}


def plain_trial(folder: Path) -> Trial:
    """Answer the small study; q4_0 turns answers, invents, and times out once."""
    wrong = '[{"text": "Ada", "type": "LOC"}, {"text": "Rome", "type": "PER"}]'
    arms = {
        "f16": arm("f16", 400, ["A", "A", "A", BOTH, SPANS]),
        "q8_0": arm("q8", 200, ["A", "A.", "A", BOTH, SPANS]),
        "q4_0": arm("q4", 100, ["A", "B", "I cannot help with that.", wrong, "[]"], faults=[FAULT]),
    }
    return run_trial(folder, arms=arms)


def write(trial: Trial, folder: Path) -> Path:
    """Write a report; returns the path of its page."""
    return written(trial, folder).html


SCRIPT = "<script>alert('script')</script>"
HOSTILE = {
    "script tag": SCRIPT,
    "end of a script": f"</script>{SCRIPT}",
    "event handler": "<img src=x onerror=alert('image')><svg onload=alert('svg')>",
    "comment": "<!--<script>--><!-- ]]> -->",
    "template": "${alert(1)} {{ 7*7 }} {% raw %}",
    "address": "javascript:alert(1) https://evil.example/?a=b //evil.example",
    "bidi": "abc\u202egnp.exe\u202c \u2066x\u2069 \u200e",
    "escapes": "\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link\x1b]8;;\x07\x00\x07\x08",
    "lone surrogates": "a\ud800b\udfffc",
    "markdown": "# H\n| a | b |\n[x](https://evil.example) ![p](//evil.example) `c` **b**",
    "formula": '=HYPERLINK("https://evil.example","x")',
    "formula of another kind": "+1+cmd|' /C calc'!A0",
    "formula after space": "\t\n @SUM(1)",
    "separators": "one\u2028two\u2029three\r\nfour\u0085five",
    "combining": "Z\u0351\u036b\u0343\u036a\u0302" * 40,
    "long line": "word " * 200_000,
    "nothing": "",
    "quotes": "\" ' ` &amp; &lt;b&gt; \\u003cscript\\u003e",
}


def hostile_trial(trial: Trial) -> Trial:
    """Put an attack into every question, group and answer of a trial."""
    assert trial.outcomes
    checks = [{"id": text, "status": "fail", "text": text} for text in list(HOSTILE.values())[:14]]
    return replace(
        trial,
        outcomes={task: _attacked(scored) for task, scored in trial.outcomes.items()},
        summary={**trial.summary, "assay": checks},
    )


def _attacked(scored: TaskOutcomes) -> TaskOutcomes:
    texts = list(HOSTILE.values())
    items, responses = list[Item](), dict[str, list[Response]]()
    for i, item in enumerate(scored.items):
        text = texts[i % len(texts)]
        content: dict[str, Any] = dict(item.content)
        key = "question" if "question" in content else "text"
        content[key] = f"{text[:2000]} {content[key]}"
        items.append(replace(item, content=content, metadata={"subject": text[:300]}))
    for a, name in enumerate(scored.arms):
        given = [one for one in scored.responses[name] if one is not None]
        responses[name] = [
            replace(one, output=texts[(i + a) % len(texts)]) for i, one in enumerate(given)
        ] + [replace(one, error=SCRIPT + "\u202e\x1b[31m") for one in scored.faults[name].values()]
    return score_task(scored.task, items, responses)
