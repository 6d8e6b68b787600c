"""Mangles valid samples, hands them to a reader, and holds it to one contract.

A case ends in a result or in a QuantrialError, within a second of CPU time. Case `n` of a target is
the same bytes on every machine: `python -m fuzz TARGET --case n` (with `tests` on the path) runs it
alone and prints them.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cpu import too_long
from quantrial.errors import QuantrialError, QuantrialWarning

_LARGEST = 2**20
_SHOWN = 600  # bytes of a failing case

# What breaks readers, whatever they read.
NASTY: tuple[bytes, ...] = (
    *(b"", b"\0", b"\n", b"\r\n", b"\t", b" ", b"\\", b'"', b"'", b"`", b"```", b"\x1b[31m"),
    *(b"[", b"]", b"{", b"}", b"(", b")", b"<", b">", b",", b":", b";", b"-", b"- ", b"#", b"|"),
    *(b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"0", b"-1", b"1e-400"),
    *(b"9" * 20, b"9" * 400, b"9" * 5000, b"18446744073709551615", b"9223372036854775808"),
    *(b"\\ud800", b"\\udfff\\ud800", b"\\u0000", b"\\n", b"\xff", b"\xed\xa0\x80", b"\xc3"),
    *("\u2028".encode(), "\u202e".encode(), "\ufeff".encode(), "e\u0301".encode()),
    *("\U0001f600".encode(), "\u0301".encode() * 50, "İ".encode(), "ß".encode()),
    *("ﬁ".encode(), "\x85".encode(), b"\x0c"),
    *(b"__proto__", b"constructor", b"../../etc/passwd", b"$(id)", b"%s%n", b"{0}", b"A" * 300),
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One reader: what it takes, and what belongs into what it takes."""

    name: str
    samples: Sequence[bytes]
    tokens: Sequence[bytes]
    run: Callable[[bytes], object]


@dataclass(frozen=True)
class Failure:
    """A case that broke the contract."""

    target: str
    case: int
    data: bytes
    why: str

    def __str__(self) -> str:
        cut = f" ... of {len(self.data):,} bytes" if len(self.data) > _SHOWN else ""
        return (
            f"{self.target}, case {self.case}: {self.why}\n"
            f"again: PYTHONPATH=tests python -m fuzz {self.target} --case {self.case}\n"
            f"{self.data[:_SHOWN]!r}{cut}"
        )


def data_of(target: Target, case: int) -> bytes:
    """Make the bytes of one case."""
    rng = random.Random(f"{target.name}:{case}")
    data = bytearray(rng.choice(target.samples))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5, 8, 20))):
        _mangle(data, target, rng)
    return bytes(data[:_LARGEST])


def _mangle(data: bytearray, target: Target, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.choice((0, 1, 1, 2, 4, 8, 30, 200)))
    token = rng.choice(rng.choice((target.tokens, target.tokens, NASTY)))
    way = rng.randrange(12)
    if way == 0:  # a bit
        if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    elif way == 1:
        del data[at:to]
    elif way == 2:  # a piece of another sample
        other = rng.choice(target.samples)
        begin = rng.randrange(len(other) + 1)
        data[at:to] = other[begin : begin + rng.choice((1, 8, 64, 512))]
    elif way == 3:  # a piece of its own again
        begin = rng.randrange(len(data) + 1)
        data[at:at] = data[begin : begin + rng.choice((1, 8, 64, 512))]
    elif way == 4:
        del data[at:]
    elif way == 5:  # over and over
        most = rng.choice((3, 30, 300, 3000, 30_000)) if rng.random() < 0.2 else 3
        data[at:to] = token * min(most, _LARGEST // max(1, len(token)))
    elif way == 6:  # a number, little-endian
        value = rng.choice((0, 1, 7, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 9, 2**64 - 1))
        data[at : at + 8] = value.to_bytes(8, "little")
    elif way == 7:  # a number, as text
        digits = bytearray(str(rng.choice((-1, 0, 3, 10**6, 2**53, 2**64, 10**40))).encode())
        data[at:to] = digits
    elif way == 8:  # a line somewhere else
        lines = bytes(data).split(b"\n")
        line = lines.pop(rng.randrange(len(lines)))
        lines.insert(rng.randrange(len(lines) + 1), line)
        data[:] = b"\n".join(lines)
    else:
        data[at : rng.choice((at, to))] = token


def run_case(target: Target, case: int) -> Failure | None:
    """Run one case; None where the contract holds."""
    data = data_of(target, case)
    why = None
    began = time.process_time()
    try:
        _run(target, data)
    except QuantrialError as exc:
        if not str(exc).strip():
            why = f"{type(exc).__name__} without a word"
    except Exception:
        why = traceback.format_exc(limit=-6)
    took = time.process_time() - began
    if why is None and too_long(took):
        gc.collect()  # not the collector's turn, nor a first call's imports
        began = time.process_time()
        with contextlib.suppress(QuantrialError):
            _run(target, data)
        if too_long(took := time.process_time() - began):
            why = f"took {took:.2f} s of CPU"
    return None if why is None else Failure(target.name, case, data, why)


def _run(target: Target, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of numpy, for one: nobody could make anything of it
        warnings.simplefilter("ignore", QuantrialWarning)
        target.run(data)


def fuzz(target: Target, cases: range, *, most: int = 5) -> list[Failure]:
    """Run many cases; return the first few that break the contract."""
    found: list[Failure] = []
    for case in cases:
        if (failure := run_case(target, case)) is not None:
            found.append(failure)
            if len(found) >= most:
                break
    return found
