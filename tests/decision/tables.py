"""The rules of the pick, asked with JSON as it stands in `decision.json`, by hand or at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from quantrial.decision import pick
from quantrial.documents.decision import Constraints, Picker, PickerRow, load_picker

Json = Mapping[str, Any]


def picker_of(table: Json) -> Picker:
    """Read a table; what one written by hand leaves out of an arm is not known."""
    arms = {arm: {"tier": None, "twin": None, **own} for arm, own in table["arms"].items()}
    return load_picker({"memory_source": None, **table, "arms": arms})


def settings_of(settings: Json) -> Constraints:
    known = {key: value for key, value in settings.items() if value is not None}
    return Constraints(**known | {"workloads": tuple(known.get("workloads", ()))})


def choose(table: Json, settings: Json) -> dict[str, Any]:
    return asdict(pick.choose(picker_of(table), settings_of(settings)))


def ordered(table: Json, settings: Json) -> list[str]:
    return pick.ordered(picker_of(table), settings_of(settings))


def tolerance(table: Json, settings: Json, task: str) -> float | None:
    return pick.tolerance(picker_of(table), settings_of(settings), task)


def chosen_among(table: Json, settings: Json, tasks: list[str]) -> dict[str, int]:
    return pick.chosen_among(picker_of(table), settings_of(settings), tasks)


def candidates(table: Json) -> list[str]:
    return pick.candidates(picker_of(table))


def loss_ruled_out(row: Json, tolerated: float | None) -> bool:
    return pick.loss_ruled_out(msgspec.convert(row, PickerRow), tolerated)


def costs_more(table: Json, settings: Json, arm: str, than: str) -> bool:
    return pick.costs_more(picker_of(table), settings_of(settings), arm, than)
