"""A study file around generated items, for `quantrial init`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.generators.base import Generator
from quantrial.registry import GENERATORS
from quantrial.strict_yaml import parse_yaml, write_yaml

COUNT = 300


def study_text(name: str, preset: str, *, count: int = COUNT, seed: int = 0) -> str:
    """Write a study of generated items.

    Args:
        name: the generator's.
        preset: the text of a study whose arms are taken.
        count: how many items.
        seed: what they follow from.
    """
    generator: Generator = GENERATORS.load(name)
    source = {"type": "generated", "items": name, "count": count, "seed": seed}
    arms = _arms(parse_yaml(preset), generator.context, cache=name == "long-context")
    reference = next(iter(arms))
    lines = [
        f"# Generated items; the smallest model that they suit has {generator.suits}.",
        "# Next: `quantrial plan` says what this costs, `quantrial run` asks it and decides.",
        f"study: {name}",
        f"reference: {reference} # the arm that the others are compared with",
        f"margin: {generator.margin} # the largest loss that you accept",
        "arms: # one model at several precisions; put yours here (docs/engines.md)",
        *(f"  {arm}: {_flow(said)}" for arm, said in arms.items()),
        "tasks:",
        f"  {name}:",
        "    kind: text",
        f"    workload: {name}",
        f"    source: {_flow(source)}",
        "    id: id",
        "    stratify: group # is the loss larger in some of them?",
        *(line for key, value in generator.task.items() for line in _key(key, value)),
    ]
    return "\n".join(lines) + "\n"


def _key(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"    {key}: |-"
        yield from textwrap.indent(value, "      ").split("\n")
    else:
        yield f"    {key}: {_flow(value)}"


def _arms(study: Any, context: int, *, cache: bool) -> dict[str, Mapping[str, Any]]:
    """Take the arms of a preset, with room for the items; one more with a small cache of keys."""
    arms = {}
    for name, arm in study["arms"].items():
        if "control" in arm:
            continue
        options = dict(arm.get("options", {}))
        if "context" in options:
            options["context"] = context
        arms[name] = {**arm, "options": options} if options else arm
    reference = study["reference"]
    if cache and arms[reference].get("engine", "llamacpp") == "llamacpp":
        own = arms[reference]
        small = {"cache_type_k": "q4_0", "cache_type_v": "q4_0"}
        arms[f"{reference}_cache_q4_0"] = {**own, "options": {**own["options"], **small}}
    return {reference: arms.pop(reference), **arms}


def _flow(value: Any) -> str:
    return write_yaml(value, width=10**6, flow=True)
