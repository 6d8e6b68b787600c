"""What statistics warned of while a task was analysed, and where."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from quantrial.errors import StatisticsWarning


class Notes:
    """What statistics warned of, and where: one sentence a warning, with its places before it."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._strata: dict[str, tuple[str, list[str]]] = {}

    @contextmanager
    def at(self, place: str, *, stratum: str | None = None) -> Iterator[None]:
        """Catch the warnings of what is done inside, as notes on a place or a stratum."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StatisticsWarning)
            yield
        for one in caught:
            if not issubclass(one.category, StatisticsWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            elif stratum is None:
                self.add(place, str(one.message))
            else:
                # many small strata repeat one sentence with other numbers: the first one stands
                kind = re.sub(r"\d+(\.\d+)?", "#", str(one.message))
                _, names = self._strata.setdefault(kind, (str(one.message), []))
                if stratum not in names:
                    names.append(stratum)

    def add(self, place: str, message: str) -> None:
        """Note something about a place."""
        places = self._places.setdefault(message, [])
        if place not in places:
            places.append(place)

    def sentences(self) -> list[str]:
        """Write the notes, those on strata last."""
        overall = [f"{'; '.join(places)}: {said}" for said, places in self._places.items()]
        strata = [
            f"within {', '.join(sorted(names))}: {said}"
            + (" (the first of these)" if len(names) > 1 else "")
            for said, names in self._strata.values()
        ]
        return sorted(overall) + sorted(strata)
