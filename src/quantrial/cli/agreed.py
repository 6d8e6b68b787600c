"""Which keys the user agreed to send where: names of variables and addresses, in the cache."""

from __future__ import annotations

import contextlib

import orjson

from quantrial import paths
from quantrial.engines.cache import cache_dir, replace_atomically

_FILE = "agreed-keys.json"


def agreed_keys() -> set[tuple[str, str]]:
    """Return the pairs of variable and address; none where the file is not there or no list."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = orjson.loads(paths.read_bytes(cache_dir() / _FILE))
        return {(str(variable), str(place)) for variable, place in known}
    return set()


def remember_keys(pairs: set[tuple[str, str]]) -> None:
    """Write the pairs down; where the cache cannot be written, the question comes again."""
    with contextlib.suppress(OSError):
        replace_atomically(cache_dir() / _FILE, orjson.dumps(sorted(pairs)))
