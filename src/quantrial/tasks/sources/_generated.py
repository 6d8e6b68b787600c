"""Items that a generator makes from a seed."""

from __future__ import annotations

import hashlib

from quantrial.records import canonical_json
from quantrial.registry import GENERATORS
from quantrial.study import GeneratedSource
from quantrial.tasks.rows import Asked, Reading, Source, Where


def read_generated(source: GeneratedSource, asked: Asked) -> Reading:
    """Make the items; what a generator notes for itself, under names with `_`, is left out."""
    made = GENERATORS.load(source.items, key=f"{asked.key}.items").rows(source.count, source.seed)
    shown = [
        {name: value for name, value in row.items() if not name.startswith("_")} for row in made
    ]
    place = f"{source.items} from the seed {source.seed}"
    rows = [asked.row(row, Where(place, at)) for at, row in enumerate(shown, start=1)]
    digest = hashlib.sha256(canonical_json(shown)).hexdigest()
    return Reading(f"generated/{source.items}", rows, (), {place: digest})


GENERATED = Source(GeneratedSource, read_generated)
