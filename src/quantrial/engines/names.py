"""Which model of a server was most likely meant by a name that it does not have."""

from __future__ import annotations

import re
from collections.abc import Collection

from quantrial.registry import nearest

_SHOWN = 5  # names of a list that stand in a message
_REVISION = re.compile(r"[@:][^/@:]*$")  # `@main`, `:latest`


def nearest_model(asked: str, names: Collection[str]) -> str | None:
    """Return the name that a model most likely has on a server; None where none is near.

    The same name without regard to case comes first, then one that differs by its revision or tag
    (`acme/small@main` for `acme/small`) or by its folder or owner alone, then a similar one.
    """
    for same in (str.casefold, _without_revision, _last_part):
        found = sorted(name for name in names if name != asked and same(name) == same(asked))
        if found:
            return found[0]
    folded = {name.casefold(): name for name in sorted(names)}
    near = nearest(asked.casefold(), folded, cutoff=0.6)
    return folded[near] if near else None


def models_shown(asked: str, names: Collection[str]) -> str:
    """List the models that a server has, the first few, and ask after the nearest one."""
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    near = nearest_model(asked, names)
    return f"{shown}{more}" + (f"; did you mean {near!r}?" if near else "")


def _without_revision(name: str) -> str:
    return _REVISION.sub("", name.casefold())


def _last_part(name: str) -> str:
    return _without_revision(name).rpartition("/")[2]
