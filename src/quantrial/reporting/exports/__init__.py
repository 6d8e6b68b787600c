"""A run's results in the forms that other places take: tables, a model card, a paragraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.reporting.exports.card import model_card
from quantrial.reporting.exports.latex import latex
from quantrial.reporting.exports.paragraph import paragraph
from quantrial.reporting.exports.rows import as_csv, as_json

if TYPE_CHECKING:
    from quantrial.study import Study

EXPORTS: Mapping[str, Callable[[Study, Mapping[str, Any], Mapping[str, Any]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "latex": latex,
    "model-card": model_card,
    "paragraph": paragraph,
}

__all__ = ["EXPORTS", "as_csv", "as_json", "latex", "model_card", "paragraph"]
