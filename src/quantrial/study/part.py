"""What every part of a study file has in common, and parts whose keys a leaf decides."""

from __future__ import annotations

import contextlib
import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler

from quantrial.errors import StudyError
from quantrial.registry import Registry

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Part(BaseModel):
    """A mapping of known keys: it cannot be changed, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class OneOf:
    """A part of which one key, the `tag`, names the leaf that decides on the others.

    The leaves are those of the registry when the first study is read; each says by `part` which
    model its part of the study has.
    """

    registry: Registry
    tag: str

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the union of what all leaves take, without those that cannot be imported."""
        parts = []
        for name in self.registry.names():
            with contextlib.suppress(StudyError):  # is said to who names it
                parts.append(self.registry.load(name).part)
        every = functools.reduce(operator.or_, parts)
        return handler.generate_schema(Annotated[every, Field(discriminator=self.tag)])
