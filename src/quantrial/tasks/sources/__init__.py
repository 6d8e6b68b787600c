"""Where items come from: the bundled set, MMLU CSV, CoNLL columns, JSONL, the Hugging Face hub.

Each file beside this one reads one form into rows; `_items` turns rows into items with ids of their
content, and says what was read.
"""

from __future__ import annotations

from quantrial.tasks.rows import shots_for
from quantrial.tasks.sources._items import LoadedItems, is_known_control_token, load_items, texts_of

__all__ = [
    "LoadedItems",
    "is_known_control_token",
    "load_items",
    "shots_for",
    "texts_of",
]
