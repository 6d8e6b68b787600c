"""What costs time at each start and comes out alike, built once in a process of the tests."""

from __future__ import annotations

import functools
import ssl
from typing import Any

import typer.main
import typer.testing


def build_once() -> None:
    """Keep the tree of commands, and the certificates that a client of HTTP trusts."""
    for module, name in (
        (typer.main, "get_command"),
        (typer.testing, "_get_command"),
        (ssl, "create_default_context"),
    ):
        kept: Any = functools.cache(getattr(module, name))
        setattr(module, name, kept)
