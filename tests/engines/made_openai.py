"""Engines on OpenAI-compatible servers for single tests, and what they are asked."""

from __future__ import annotations

from typing import Any

from quantrial.engines import Message, Request
from quantrial.engines.openai import OpenAIEngine

TEXT = Request(text="The capital of France is", max_tokens=8, timeout=20)
CHAT = Request(messages=(Message("user", "Capital of France?"),), max_tokens=8, timeout=20)

_MADE: list[OpenAIEngine] = []


def made(*args: Any, **kwargs: Any) -> OpenAIEngine:
    """Make an engine that is closed when the test ends."""
    _MADE.append(OpenAIEngine(*args, **kwargs))
    return _MADE[-1]


def close_made() -> None:
    """Close what `made` has made; a fixture calls it after every test."""
    while _MADE:
        _MADE.pop().close()
