"""Tools that a task or an item offers, in OpenAI's form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

_EXAMPLE = '{"name": "weather", "parameters": {"type": "object", "properties": {...}}}'


def tools_of(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Read a list of tools: each `{"type": "function", "function": {...}}`, or what is in it.

    Args:
        value: the list, or its JSON as cells of tables hold it.

    Raises:
        ValueError: it is no such list, or two tools have one name.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as exc:
            raise ValueError(f"{value!r:.60} is no list of tools: {exc}") from exc
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r:.60} is no list of tools; expected some such as {_EXAMPLE}")
    tools = tuple(map(_tool, value))
    counts = Counter(tool["function"]["name"] for tool in tools)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"two tools are named {twice[0]!r:.60}")
    return tools


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tool(said: Any) -> Mapping[str, Any]:
    inner = said.get("function", said) if isinstance(said, Mapping) else None
    if not isinstance(inner, Mapping) or not _is_name(inner.get("name")):
        raise ValueError(f"{said!r:.60} is no tool; expected one such as {_EXAMPLE}")
    if not isinstance(inner.get("parameters", {}), Mapping):
        raise ValueError(
            f"the parameters of {inner['name']!r:.60} are {inner['parameters']!r:.60}; expected a "
            "JSON schema of an object"
        )
    function = {key: one for key, one in inner.items() if key != "type"}
    return {"type": "function", "function": function}
