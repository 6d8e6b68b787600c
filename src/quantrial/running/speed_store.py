"""The records of the speed phase in a run folder: one append-only file."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from quantrial.errors import RecordError, RecordWarning, RunFolderError
from quantrial.paths import is_there, open_to_append
from quantrial.records import SpeedRecord, speed_from_json
from quantrial.running.store import SPEED, append_line, lines_of, mend

if TYPE_CHECKING:
    from collections.abc import Container

    from quantrial.engines.base import Reply
    from quantrial.running.store import RunFolder


def read_speed(run: RunFolder, *, arms: Container[str]) -> list[SpeedRecord]:
    """Read speed.jsonl, if it is there; a torn last line is left out.

    Args:
        run: the run folder.
        arms: the study's arms, to refuse records of any other.

    Raises:
        RecordError: a malformed line that is not the torn last one, an unknown arm, or a call that
            was measured twice.
    """
    path = run.path / SPEED
    if not is_there(path):
        return []
    records = []
    seen: set[tuple[str, int, int, int]] = set()
    for number, line in lines_of(path, torn_ok=True):
        record = speed_from_json(line, path=path, line=number)
        if record.arm not in arms:
            raise RecordError(
                f"a call of arm {record.arm!r}, which the study does not have",
                path=path,
                line=number,
            )
        if record.kind == "measured" and record.status == "ok":
            call = (record.arm, record.block, record.prompt_length, record.output_length)
            if call in seen:
                raise RecordError(
                    f"block {record.block} of arm {record.arm!r} was measured twice at "
                    f"{record.prompt_length} and {record.output_length} tokens",
                    path=path,
                    line=number,
                )
            seen.add(call)
        records.append(record)
    return records


@contextlib.contextmanager
def appending(run: RunFolder) -> Iterator[Callable[[SpeedRecord], None]]:
    """Yield a function that records one call; opening mends a torn last line.

    Raises:
        RunFolderError: the file cannot be written.
    """
    path = run.path / SPEED
    try:
        if note := mend(path):
            warnings.warn(note, RecordWarning, stacklevel=3)
        file = open_to_append(path)
    except OSError as exc:
        raise RunFolderError(f"cannot be written ({exc.strerror})", path=path) from exc
    with file:
        yield lambda record: append_line(file, record.to_json())


def timing_of(reply: Reply, wall: float, load: float) -> dict[str, Any]:
    """Write the times of a call down; those measured here where the engine tells none.

    Args:
        reply: what came back.
        wall: seconds that the call took.
        load: seconds that a load before it took, 0 for none.
    """
    timing = dataclasses.asdict(reply.timing)
    timing["load"] = load or None if timing["load"] is None else timing["load"]
    return timing if timing["wall"] is not None else {**timing, "wall": wall}
