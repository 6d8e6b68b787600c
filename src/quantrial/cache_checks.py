"""Whether servers answered from a cache of prompts that nobody asked for.

Pure. What a server kept of an earlier prompt can change its arithmetic, and so an answer: answers
then depend on the order of calls. The embedded engine restores what it keeps exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quantrial.agreement import fixed

_EXACT = ("llamacpp", "scripted", "imported")  # engines whose cache changes no answer, or unknown


@dataclass(frozen=True, slots=True)
class Caches:
    """How much of its prompts one arm did not read anew.

    Of `answers`, `reused` had some tokens of their prompt from a cache: `cached` of their `tokens`.
    """

    answers: int = 0
    reused: int = 0
    cached: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, counts: Iterable[tuple[int | None, int | None]]) -> Caches:
        """Add up the tokens of prompts, and those of them that came from a cache, answer by answer.

        Some servers count the cached ones apart from the others; then the sum of both is meant.
        """
        known = [(read or 0, cached or 0) for read, cached in counts]
        kept = [(max(read, cached), cached) for read, cached in known if cached]
        return cls(len(known), len(kept), sum(c for _, c in kept), sum(t for t, _ in kept))

    def __add__(self, other: Caches) -> Caches:
        return Caches(
            self.answers + other.answers,
            self.reused + other.reused,
            self.cached + other.cached,
            self.tokens + other.tokens,
        )


def cache_findings(
    caches: Mapping[str, Caches], arms: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Say in numbers where a server reused what it read of earlier prompts, and nobody asked it to.

    Args:
        caches: what was recorded of each arm.
        arms: the manifest's record of each arm.
    """
    found = []
    for name, one in caches.items():
        arm = arms.get(name) or {}
        wanted = (arm.get("options") or {}).get("prompt_cache")
        if one.reused and not wanted and arm.get("engine") not in _EXACT:
            share = fixed(100 * one.cached / one.tokens, 0)
            found.append(
                f"{name} in {one.reused:,} of {one.answers:,} answers ({one.cached:,} of their "
                f"{one.tokens:,} prompt tokens, {share} %)"
            )
    if found:
        yield (
            f"servers reused what they had read of earlier prompts: {'; '.join(found)}. Answers "
            "can then depend on the order of calls. The option `server` (`vllm`, `llama.cpp`) has "
            "prompts read anew where the server can; others have a setting of their own"
        )
