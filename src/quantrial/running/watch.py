"""Whether the weights behind a silent server are still those that a run began with.

A server that names its weights is compared by what it tells (`quantrial.engines.identity`). One
that tells nothing is asked a fixed prompt before the first answer of a session, every few minutes,
whenever it may have been started anew, and at the end. Another answer alone proves nothing: answers
of an honest server can depend on what else it is asked. So the prompt is asked three more times
alone, and the run stops where none of these is like any answer before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from quantrial.engines.base import Message, Request
from quantrial.engines.identity import REMEDY, Watchable
from quantrial.errors import EngineError, ModelChangedError
from quantrial.running.asking import answer as ask_once

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Reply
    from quantrial.records import ArmRecord
    from quantrial.running.waiting import Clock

EVERY = 300.0  # seconds between two looks at one arm
FIRST = 2  # times that the prompt is asked at first: the second answer may come from a cache
MORE = 3  # times that it is asked again after another answer
TOLERANCE = 0.02  # nats between the probabilities of one token by rounding alone

_STORY = (
    "Go on with this story: The lighthouse keeper of the northern isle counted seven ships at "
    "dusk, and the eighth, which no chart had ever named, turned towards the rocks. She"
)
_REQUEST = Request(messages=(Message("user", _STORY),), max_tokens=32, timeout=60.0)
_TEXT = replace(_REQUEST, messages=(), text=_STORY)  # for servers that have no chats


@dataclass(slots=True)
class _Watched:
    """One arm: the answers that its server is known to give, and what was recorded since a look."""

    answers: list[dict[str, Any]]
    checked: int
    varied: int  # looks after which it answered as before, but not at once
    checked_at: str  # time of day of the last look that held
    request: Request | None = None  # the one that it answers
    looked: float = 0.0  # by the steady clock
    suspect: bool = True
    mute: bool = False  # it refuses the prompt in every form
    fingerprints: int = 0
    unsure: set[tuple[int, int]] = field(default_factory=set)  # (order, attempt)


class Watch:
    """Looks at every arm whose server does not name its weights; other arms cost nothing."""

    def __init__(
        self, engines: Mapping[str, Engine], clock: Clock, records: Mapping[str, ArmRecord]
    ):
        """Begin with what the manifest holds of earlier sessions (`records`, by arm)."""
        self._engines = engines
        self._clock = clock
        self._arms: dict[str, _Watched] = {}
        self._doubtful = {
            arm: {(order, attempt) for order, attempt in record.doubtful_answers or ()}
            for arm, record in records.items()
            if record.doubtful_answers is not None
        }
        for arm, record in records.items():
            known, engine = record.identity_probe or {}, engines.get(arm)
            if isinstance(engine, Watchable):
                engine.remember(known.get("fingerprints") or ())
            if known or isinstance(engine, Watchable):
                self._arms[arm] = _Watched(
                    list(known.get("answers") or ()),
                    known.get("checked") or 0,
                    known.get("varied") or 0,
                    known.get("checked_at") or "",
                )

    def restore(self, arm: str, order: int, attempt: int, started_at: str) -> bool:
        """Take note of an answer of an earlier session; False where it is to be asked again."""
        watched = self._arms.get(arm)
        if watched is not None and watched.answers and started_at > watched.checked_at:
            watched.unsure.add((order, attempt))
        return (order, attempt) not in self._doubtful.get(arm, ())

    def answered(self, arm: str, order: int, attempt: int) -> None:
        """Take note of an answer that was recorded."""
        doubtful = self._doubtful.get(arm)
        if doubtful is not None:
            doubtful -= {one for one in doubtful if one[0] == order and one[1] < attempt}
        if arm in self._arms:
            self._arms[arm].unsure.add((order, attempt))

    def suspect(self, arm: str) -> None:
        """Have an arm looked at before it is asked again: its server may have been started anew."""
        if arm in self._arms:
            self._arms[arm].suspect = True

    def finish(self) -> None:
        """Look once more at every arm that answered since it was last looked at.

        Raises:
            ModelChangedError: another model answers.
        """
        for arm, watched in self._arms.items():
            if watched.unsure:
                self.look(arm)

    def noted(self, arms: Mapping[str, ArmRecord]) -> dict[str, ArmRecord]:
        """Return the arms' records with what the manifest is to hold of their servers."""
        found = dict(arms)
        for arm, one in self._arms.items():
            engine = self._engines.get(arm)
            said: list[str] = list(engine.fingerprints()) if isinstance(engine, Watchable) else []
            if one.answers or said:
                held = ("answers", "checked", "varied", "checked_at")
                probe = {name: getattr(one, name) for name in held} | {"fingerprints": said}
                found[arm] = replace(found[arm], identity_probe=probe)
        for arm, doubtful in self._doubtful.items():
            found[arm] = replace(found[arm], doubtful_answers=sorted(doubtful))
        return found

    def look(self, arm: str) -> bool:
        """Ask the fixed prompt; whether it was answered. Nothing else of the arm may be under way.

        Raises:
            ModelChangedError: another model answers; what it may have answered is to be asked
                again.
        """
        watched, engine = self._arms.get(arm), self._engines[arm]
        if watched is None or not isinstance(engine, Watchable) or engine.names_weights():
            return False
        if not self.due(arm) and not watched.unsure:
            return True
        watched.suspect, watched.looked = False, self._clock.steady()
        watched.fingerprints = len(engine.fingerprints())
        first = not watched.answers
        answer = self._answer(arm)
        if answer is None:
            watched.suspect = not watched.mute
            return False
        watched.checked += 1
        if first:
            again = self._answer(arm)
            watched.answers = [answer] if again is None else _different([answer, again])
        elif not _known(answer, watched.answers):
            self._ask_more(arm, answer)
        watched.checked_at = self._clock.stamp()
        watched.unsure.clear()
        return True

    def due(self, arm: str) -> bool:
        """Whether an arm is to be looked at before it is asked again."""
        watched, engine = self._arms.get(arm), self._engines[arm]
        if watched is None or watched.mute or not isinstance(engine, Watchable):
            return False
        late = self._clock.steady() - watched.looked >= EVERY
        other = watched.answers and len(engine.fingerprints()) > max(watched.fingerprints, 1)
        return watched.suspect or late or bool(other)

    def _ask_more(self, arm: str, answer: dict[str, Any]) -> None:
        """Ask after another answer; only where none of them is like one before, stop."""
        watched = self._arms[arm]
        more = [one for _ in range(MORE) if (one := self._answer(arm)) is not None]
        if len(more) == MORE and not any(_known(one, watched.answers) for one in more):
            self._doubtful.setdefault(arm, set()).update(watched.unsure)
            said = _changed_text(arm, watched, answer)
            watched.unsure.clear()
            raise ModelChangedError(said)
        watched.varied += 1
        watched.answers = _different([*watched.answers, answer, *more])

    def _answer(self, arm: str) -> dict[str, Any] | None:
        """Ask once; None where the server fails."""
        watched, engine = self._arms[arm], self._engines[arm]
        logprobs = 1 if "logprobs" in engine.abilities else 0
        ways = [watched.request] if watched.request else [_REQUEST, _TEXT]
        for way in ways:
            for asked in dict.fromkeys((way.logprobs or (0 if watched.request else logprobs), 0)):
                told = asked
                try:
                    reply = ask_once(engine, replace(way, logprobs=asked))
                except ModelChangedError:
                    raise
                except EngineError as exc:
                    if exc.retryable:
                        return None
                    if not asked or exc.partial is None:
                        continue
                    # an answer, without the probabilities that were asked for
                    reply, told = exc.partial, 0
                watched.request = replace(way, logprobs=told)
                return _signature(reply)
        watched.mute = True
        return None


def _signature(reply: Reply) -> dict[str, Any]:
    """Return what is compared of an answer, as the manifest holds it."""
    tokens = [[one["token"], one["logprob"]] for one in reply.logprobs or ()]
    return {"text": (reply.thought or "") + reply.output, "tokens": tokens}


def _known(answer: Mapping[str, Any], known: list[dict[str, Any]]) -> bool:
    return any(_alike(answer, one) for one in known)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two answers have one text, and probabilities that rounding alone may part."""
    if one["text"] != other["text"]:
        return False
    return all(
        a[1] is None or b[1] is None or abs(a[1] - b[1]) <= TOLERANCE
        for a, b in zip(one["tokens"], other["tokens"], strict=False)
    )


def _different(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out answers that are like an earlier one; a few are enough to know a server by."""
    kept: list[dict[str, Any]] = []
    for answer in answers:
        if not _known(answer, kept):
            kept.append(answer)
    return kept[:20]


def _changed_text(arm: str, watched: _Watched, answer: Mapping[str, Any]) -> str:
    known = watched.answers[0]
    other = ", with other probabilities" if known["text"] == answer["text"] else ""
    count = len(watched.unsure)
    answers = "The answer" if count == 1 else f"The {count:,} answers"
    since = watched.checked_at or "the beginning"
    again = f" {answers} recorded since {since} will be asked again." if count else ""
    return (
        f"arm {arm!r} answers a fixed prompt otherwise than before, {MORE + 1} times out of "
        f"{MORE + 1}: it said {known['text']!r:.60}, and says {answer['text']!r:.60}{other}. "
        f"Another model seems to stand behind its name.{again} {REMEDY}"
    )
