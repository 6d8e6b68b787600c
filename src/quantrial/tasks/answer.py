"""What of a text is the answer: thoughts taken out, an unfinished thought told from an answer.

The one place that decides it. Readers of letters and spans, the signs of texts and everything that
comes later ask here. Pure, and its time is linear in the text's length.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from quantrial.records import CUT_SHORT
from quantrial.thought_tags import CHANNEL, Mentions, Tag, is_control, tags_of, unknown_tag

# other programs' words for an answer that its limit ended, whatever their case
_CUT = CUT_SHORT | {"max_tokens", "max_length", "max_new_tokens", "model_length"}
_MOST_TAGS = 20_000  # of thoughts; a text of more is a loop
_MOST_MARKS = 1000  # of `<answer>` elements that are looked at, from the end
_ELEMENT = re.compile(r"<\s{0,3}(?P<end>/)?\s{0,3}(?:final[_\s-]?)?answer\b[^<>]{0,80}>", re.I)

_MESSAGE_ENDS = re.compile(r"<\|(?:end|return|call|start)\|>")
# the same where a server dropped the control tokens: "analysisThe user ... assistantfinalB"
_GLUED = re.compile(r"\s{0,9}analysis(?=[A-Z\"'(])")
_GLUED_FINAL = "assistantfinal"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a text says in the end.

    `text` is what counts as the answer, without the thoughts, which `thought` holds. `unfinished`:
    the text ends inside a thought, and there is no answer at all. `unknown_tag` looks like a tag
    of a thought and is none that is known; the text is read as it is. `output` is the whole text,
    for published rules that read all of it. `calls` are those of tools, as a server handed them
    over apart from the text; `scores` are numbers that were recorded with it.
    """

    text: str
    thought: str = ""
    unfinished: bool = False
    unknown_tag: str | None = None
    output: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether no tool is called, and nothing but white space and control tokens is said."""
        return not self.calls and is_control(self.text)


def was_cut(finish_reason: str | None) -> bool | None:
    """Whether a text was ended before its end, by its finish reason; None where it tells none."""
    return None if finish_reason is None else finish_reason.casefold() in _CUT


def read_answer(
    output: str,
    *,
    finish_reason: str | None = None,
    opened: bool = False,
    tags: Sequence[tuple[str, str]] = (),
) -> Answer:
    """Tell the answer in a text from what was thought before.

    What follows the last thought is the answer; where nothing does, what stands before it. A
    thought that never closes is no answer, however the text ended; nor is a text of more than
    20,000 tags. A closing tag without its opening one ends a thought that began with the text, as
    where the template opens it. A tag in quotes or in code is only named. An `<answer>` element is
    the answer, closed or not.

    Args:
        output: the text as recorded.
        finish_reason: why it ended, as the engine says; None where it does not.
        opened: the prompt ends in an opening tag (its template says so, or other answers of the arm
            hold a closing tag without an opening one): a text without any tag that is not known to
            have ended by itself is an unfinished thought.
        tags: pairs of opening and closing tags beside those that are known.
    """
    if (told := _of_channels(output)) is not None:
        return told
    parts = _Parts(output, cut=was_cut(finish_reason))
    parts.tags += itertools.islice(tags_of(output, tags), _MOST_TAGS + 1)
    if len(parts.tags) > _MOST_TAGS:
        return Answer("", output.strip(), unfinished=True, output=output)
    finished = parts.divide(opened=opened)
    thought = "\n".join(filter(None, (output[a:b].strip() for a, b in parts.thoughts)))
    if not finished:
        return Answer("", thought, unfinished=True, output=output)
    if not parts.tags:
        text = output
    else:
        said = (output[a:b].strip() for a, b in reversed(parts.said))
        text = next((one for one in said if not is_control(one)), "")
    strange = unknown_tag(text, cut=parts.cut is True)
    return Answer(_element(text), thought, unknown_tag=strange, output=output)


def as_answer(said: Answer | str) -> Answer:
    """Return an answer as it is; read a text as one of which is not known why it ended."""
    return read_answer(said) if isinstance(said, str) else said


def with_thought(answer: Answer, thought: str | None, finish_reason: str | None) -> Answer:
    """Add what a server handed over apart as thought.

    Nothing but a thought, and a limit that ended it, is an unfinished thought.
    """
    if not thought:
        return answer
    unfinished = answer.unfinished or (answer.is_empty and bool(was_cut(finish_reason)))
    together = "\n".join(filter(None, (thought, answer.thought)))
    return replace(answer, thought=together, unfinished=unfinished)


def starts_in_thought(output: str, tags: Sequence[tuple[str, str]] = ()) -> bool | None:
    """Whether a text closes a thought that it did not open; None where it holds no tag.

    Where it does, the template had opened the thought.
    """
    if header := CHANNEL.search(output):
        return bool(output[: header.start()].strip())
    if _GLUED.match(output):
        return False
    if _GLUED_FINAL in output:
        return True
    first = next(tags_of(output, tags), None)
    return None if first is None else not first.opens


@dataclass(slots=True)
class _Parts:
    """A text divided into what is said and what is thought, both as places in it."""

    output: str
    cut: bool | None
    tags: list[Tag] = field(default_factory=list)
    said: list[tuple[int, int]] = field(default_factory=list)
    thoughts: list[tuple[int, int]] = field(default_factory=list)

    def divide(self, *, opened: bool) -> bool:
        """Fill `said` and `thoughts`; return whether the text ends outside of a thought."""
        output, tags = self.output, self.tags
        if not tags:
            # what is not known to have ended by itself may be a thought from its first word on
            inside = opened and self.cut is not False and bool(output.strip())
            (self.thoughts if inside else self.said).append((0, len(output)))
            return not inside
        later = Counter(tag.kind for tag in tags if not tag.opens)
        itself = tags[0].opens and not output[: tags[0].start].strip()
        # "" is what the template opened
        depth = _Depth([""] if opened and not itself else [])
        began = since = 0  # where the open thought began, and where the last one ended
        closing: Tag | None = None  # the last tag that closed anything in the open thought
        quiet = self._quiet()
        for tag in tags:
            if tag.opens:
                if not depth:
                    self.said.append((since, tag.start))
                    began, closing = tag.end, None
                depth.enter(tag.kind)
                continue
            later[tag.kind] -= 1
            if depth:
                closing = tag
                depth.leave(tag.kind, later)
                if depth:
                    continue
                self.thoughts.append((began, tag.start))
            elif self.thoughts and tag.start >= quiet:
                self.said.append((since, tag.start))  # it only repeats the one before
            else:
                self.thoughts.append((since, tag.start))
            since = tag.end
        if depth:
            ends, since = self._resumed(began, closing)
            self.thoughts.append((began, ends))
            if since < 0:
                return False
        self.said.append((since, len(output)))
        return True

    def _quiet(self) -> int:
        """Return the place from which on nothing comes but closing tags and control tokens."""
        place = len(self.output)
        for tag in reversed(self.tags):
            if tag.opens or not is_control(self.output[tag.end : place]):
                break
            place = tag.start
        return place

    def _resumed(self, began: int, closing: Tag | None) -> tuple[int, int]:
        """Say where a thought that lacks its closing tag ends and what is said begins, or -1.

        In a text that no limit ended, tags that were only named within the thought leave it open:
        its last closing tag ends it, or else a whole `<answer>` at the very end.
        """
        if not self.cut and closing is not None:
            return closing.start, closing.end
        if not self.cut:
            elements = list(_elements(self.output, began))
            if elements and (end := elements[-1].end) and is_control(self.output[end:]):
                return elements[-1].start, elements[-1].start
        return len(self.output), -1


class _Depth:
    """The kinds of the thoughts that are open, the outermost first."""

    def __init__(self, kinds: Sequence[str]):
        self._kinds = list(kinds)
        self._counts = Counter(kinds)  # to look through all of them at every tag would be quadratic

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def enter(self, kind: str) -> None:
        """Open a thought within the innermost one."""
        self._kinds.append(kind)
        self._counts[kind] += 1

    def leave(self, kind: str, later: Mapping[str, int]) -> None:
        """Close the innermost thought of a kind, and what was left open within it.

        A closing tag of another kind ends a thought whose own never comes: `later` counts the
        closing tags that are still to come.
        """
        if self._counts[kind]:
            while self._pop() != kind:
                pass
        elif not later[self._kinds[-1]]:
            self._pop()

    def _pop(self) -> str:
        kind = self._kinds.pop()
        self._counts[kind] -= 1
        return kind


@dataclass(frozen=True, slots=True)
class _Answered:
    """Where an `<answer>` element stands, and what it holds; `end` is 0 where it never ends."""

    start: int
    end: int
    content: str


def _elements(text: str, start: int = 0) -> Iterator[_Answered]:
    mentions = Mentions(text)
    opening: re.Match[str] | None = None
    for mark in deque(_ELEMENT.finditer(text, start), maxlen=_MOST_MARKS):
        if mentions.mentioned(Tag("", mark["end"] is None, mark.start(), mark.end())):
            continue
        if opening is not None:
            end = 0 if mark["end"] is None else mark.end()
            content = text[opening.end() : mark.start()].strip()
            yield _Answered(opening.start(), end, content)
        opening = mark if mark["end"] is None else None
    if opening is not None:
        yield _Answered(opening.start(), 0, text[opening.end() :].strip())


def _element(text: str) -> str:
    """Return what the last `<answer>` element with content holds; else the text as it is."""
    if "<" not in text:
        return text
    said = text
    for one in _elements(text):
        if not is_control(one.content):
            said = one.content
    return said


def _of_channels(output: str) -> Answer | None:
    """Read the channels of gpt-oss: the final one is the answer, all else was thought."""
    if "<|channel|>" not in output:
        return _of_glued_channels(output)
    headers = list(CHANNEL.finditer(output))
    if not headers:  # cut within the first header
        return Answer("", unfinished=True, output=output)
    thought, final = [output[: headers[0].start()]], None
    for header, after in zip(headers, [*headers[1:], None], strict=True):
        stop = after.start() if after else len(output)
        ends = _MESSAGE_ENDS.search(output, header.end(), stop)
        message = output[header.end() : ends.start() if ends else stop].strip()
        if header["name"] == "final":
            final = message or final or ""
        else:
            thought.append(message)
    told = "\n".join(filter(None, (part.strip() for part in thought)))
    if final is None:
        return Answer("", told, unfinished=True, output=output)
    return Answer(final, told, output=output)


def _of_glued_channels(output: str) -> Answer | None:
    begun = _GLUED.match(output)
    if begun is None and _GLUED_FINAL not in output:
        return None
    start = begun.end() if begun else 0
    thought, final, said = output[start:].rpartition(_GLUED_FINAL)
    if final:
        return Answer(said.strip(), thought.strip(), output=output)
    return Answer("", said.strip(), unfinished=True, output=output)
