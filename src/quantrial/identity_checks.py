"""Whether every answer of an arm came of the weights that its run began with.

Pure: reads what a manifest holds of the looks that a run took at servers which do not say what
they serve (`quantrial.running.watch`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Status = Literal["pass", "warn", "fail", "unknown"]
Document = Mapping[str, Any]


def identity_findings(arms: Mapping[str, Document]) -> Iterator[tuple[Status, str]]:
    """Say of each arm where its answers may be of two models, or vary with their company."""
    for name, arm in arms.items():
        probe = arm.get("identity_probe") or {}
        if count := len(arm.get("doubtful_answers") or ()):
            many = count > 1
            yield (
                "fail",
                f"{count:,} answer{'s' if many else ''} of {name} may be another model's: after "
                f"{'them' if many else 'it'} its server answered a fixed prompt otherwise than "
                f"before. The same `quantrial run` asks {'them' if many else 'it'} again",
            )
        if varied := probe.get("varied"):
            yield (
                "warn",
                f"the server of {name} answered a fixed prompt otherwise in {varied:,} of "
                f"{probe['checked']:,} looks, and as before when it was asked again: its answers "
                "vary by themselves, or with what else it is asked at the time",
            )
        said = probe.get("fingerprints") or ()
        if len(said) > 1:
            shown = ", ".join(map(str, said[:3])) + (" and others" if len(said) > 3 else "")
            yield (
                "warn",
                f"the fingerprint of {name}'s server changed during the run ({shown}): its "
                "software or settings changed, which may change answers",
            )
