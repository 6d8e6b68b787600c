"""How fast each arm answered, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantrial.precision import stated_size, weights_in_words
from quantrial.reporting.blocks import Column, Group, Section, by_name
from quantrial.reporting.sections import noise
from quantrial.reporting.sections.speed_phase import phase_groups
from quantrial.words import file_size, rate, seconds

Document = Mapping[str, Any]

_ARM = Column("arm", numeric=False)


def speed_section(summary: Document) -> Section:
    """How fast each arm answered, and how large it is."""
    sizes = [one["memory_bytes"] for one in summary["arms"].values()]
    memory = by_name(
        "size of each arm",
        _ARM,
        summary["arms"],
        (
            Column("weights", hint="size of the weight file"),
            lambda one: stated_size(one, file_size(one["memory_bytes"], sizes)),
        ),
        (Column("type", numeric=False), weights_in_words),
    )
    groups = [*phase_groups(summary), Group("Memory", tables=(memory,))]
    for task, arms in summary["speed"].items():
        table = by_name(
            f"speed of each arm on {task}",
            _ARM,
            arms,
            (
                Column("tokens/s", hint="pooled: all generated tokens over all decode seconds"),
                lambda one: rate(one["tokens_per_second"]),
            ),
            (
                Column(
                    "mean of ratios", hint="mean of the tokens/s of each answer, as often published"
                ),
                lambda one: rate(one["mean_tokens_per_second"]),
            ),
            (
                Column("prompt tokens/s", hint="pooled: all prompt tokens over all prompt seconds"),
                lambda one: rate(one["prompt_tokens_per_second"]),
            ),
            (
                Column("per answer", hint="mean seconds from question to answer"),
                lambda one: seconds(one["seconds_per_answer"]),
            ),
            (
                Column("median", hint="median seconds from question to answer"),
                lambda one: seconds(one["median_seconds_per_answer"]),
            ),
        )
        groups.append(Group(f"Speed in the answers: {task}", tables=(table,)))
        groups += noise.drift(task, arms)
    lead = (
        "Tokens a second are pooled (all tokens over all seconds); the mean of per-answer ratios "
        "stands beside it because others publish that, and it overweighs short answers."
    )
    return Section("speed", "Speed and memory", lead, tuple(groups))
