"""Answers that a server ended because they go round in circles, without a word.

Ollama compares each piece of an answer with the one before, white space around them aside, and ends
the answer after 30 repeats: status 200, no error, and nothing that says it is done (`llm/server.go`
of its versions 0.5 to 0.32). That is a property of the answer. It comes again at every attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

REPEAT_LIMIT = "repeat_limit"  # the finish reason of such an answer
# Equal pieces in a row. A piece and its 30 repeats are 31; white space at the very start of an
# answer counts as a repeat of nothing, so that there 30 are all that comes.
_LEAST = 30
_LONGEST = 256  # characters of a piece, without white space; no token is longer


@dataclass(slots=True)
class Repeats:
    """Counts, over the pieces of a stream, how often the last one came in a row."""

    pieces: int = 0  # that had any text
    _last: str = ""
    _count: int = 0

    def add(self, piece: str) -> None:
        """Take the next piece; one without any text is no piece."""
        if not piece:
            return
        self.pieces += 1
        bare = piece.strip()
        self._count = self._count + 1 if self._count and bare == self._last else 1
        self._last = bare

    @property
    def reached(self) -> bool:
        """Whether the stream ends in as many repeats as end an answer."""
        return self._count >= _LEAST


def ends_in_repeats(text: str) -> bool:
    """Whether a whole text ends in as many repeats of one piece as end an answer.

    White space is left out, since pieces are compared without it; a text that ends in nothing but
    white space repeats that.
    """
    if len(text) - len(text.rstrip()) >= _LEAST:
        return True
    bare = "".join(text.split())
    longest = min(len(bare) // _LEAST, _LONGEST)
    return any(bare.endswith(bare[-size:] * _LEAST) for size in range(1, longest + 1))
