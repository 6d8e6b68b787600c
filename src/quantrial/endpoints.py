"""The names of what is measured, by kind of task: a study file may use them, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from quantrial.registry import hint_of

# the first one is primary
ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "choice": ("accuracy",),
    "spans": ("micro_f1", "macro_f1", "precision", "recall", "parse_rate", "exact_match"),
}

_OF_ANY_TASK = ("not_truncated", "not_refused", "not_repeating", "not_empty", "answered")

# shares of items that are well: negative is a loss, and a margin makes sense
FAILURE_SHARES: Mapping[str, tuple[str, ...]] = {
    "choice": ("parse_rate", *_OF_ANY_TASK),
    "spans": ("entity_free_correct", "no_spurious", *_OF_ANY_TASK),
}

# counts, and what has no better or worse: tested for a difference only
FAILURE_COUNTS: Mapping[str, tuple[str, ...]] = {
    "choice": ("output_length", "letter_shift"),
    "spans": ("spurious_per_sentence", "output_length"),
}


def check_margins(kind: str, names: Iterable[str]) -> None:
    """Refuse margins of what a task of this kind does not measure as a share.

    Raises:
        ValueError: names the one that is wrong, and the nearest valid one.
    """
    _check(names, (*ENDPOINTS[kind], *FAILURE_SHARES[kind]), f"a {kind} task has no endpoint")


def check_failure_modes(names: Iterable[str]) -> None:
    """Refuse names of failure modes that no kind of task is tested for.

    Raises:
        ValueError: names the one that is wrong, and the nearest valid one.
    """
    tested = (*FAILURE_SHARES.values(), *FAILURE_COUNTS.values())
    valid = tuple(dict.fromkeys(name for of_kind in tested for name in of_kind))
    _check(names, valid, "there is no failure mode")


def _check(names: Iterable[str], valid: Sequence[str], refusal: str) -> None:
    for name in names:
        if name not in valid:
            raise ValueError(f"{refusal} {name!r}; {hint_of(name, valid, 'there are ')}")
