"""What prompts begin with is read once, and no answer depends on what was asked before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest

from quantrial.engines import Message, Request
from quantrial.engines import llamacpp_process as prefix
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.llamacpp_process import Prefixes

Answer = tuple[str, object]
SHOTS = "".join(
    f"Sentence: {who} saw {whom} in {where}.\nPeople: {who}, {whom}\n\n"
    for who, whom, where in (("Ana", "Bo", "Rome"), ("Cy", "Di", "Oslo"), ("Ed", "Flo", "Bern"))
)
ITEMS = tuple(
    f"Sentence: {who} was never in {where}.\nPeople:"
    for who in ("Gil", "Hope", "Ida May")
    for where in ("Kiel", "Lima")
)


def text_of(item: str, shots: str = SHOTS) -> Request:
    return Request(text=shots + item, shared=len(shots) - 2, max_tokens=6, logprobs=3)


def chat_of(item: str) -> Request:
    shots = (Message("system", "Name the people."), Message("user", ITEMS[0]))
    told = (*shots, Message("assistant", " Gil"))
    return Request(messages=(*told, Message("user", item)), shared=3, max_tokens=6, logprobs=3)


def answers(engine: LlamaCppEngine, requests: Sequence[Request]) -> list[Answer]:
    """Ask, and keep every probability: they would show a difference before the text does."""
    replies = [engine.ask(request) for request in requests]
    return [(reply.output, reply.logprobs) for reply in replies]


@pytest.mark.model
@pytest.mark.parametrize("form", [text_of, chat_of])
def test_answers_do_not_depend_on_what_was_asked_before(
    new_llamacpp: Callable[..., LlamaCppEngine], form: Callable[[str], Request]
) -> None:
    requests = [form(item) for item in ITEMS]
    engine = new_llamacpp()
    first = answers(engine, requests)
    assert len({output for output, _ in first}) > 1
    assert answers(engine, requests[::-1])[::-1] == first
    engine.ask(text_of("Sentence: Nobody.\nPeople:", shots="Something else altogether.\n\n"))
    engine.ask(Request(text="The sea is wide.", max_tokens=3))
    assert answers(engine, requests[3:]) == first[3:]
    engine.close()  # a worker that starts anew reads the beginning anew
    assert answers(engine, requests[::-1])[::-1] == first
    engine.close()


@pytest.mark.model
def test_the_shared_beginning_is_read_once_and_counted(
    new_llamacpp: Callable[..., LlamaCppEngine],
) -> None:
    engine, without = new_llamacpp(), new_llamacpp(prompt_cache=False)
    first, second, third = (engine.ask(text_of(item)) for item in ITEMS[:3])
    plain = without.ask(text_of(ITEMS[1]))
    assert first.cached_tokens == 0
    assert second.cached_tokens == third.cached_tokens
    assert second.prompt_tokens == plain.prompt_tokens
    assert plain.cached_tokens == 0
    alone = without.ask(Request(text=SHOTS[:-2], max_tokens=1)).prompt_tokens or 0
    assert alone - 1 <= (second.cached_tokens or 0) <= alone > 50
    assert (first.timing.prompt or 0) > (second.timing.prompt or 0)
    engine.close()
    without.close()


@pytest.mark.model
def test_nothing_is_kept_where_nothing_is_shared_or_it_is_switched_off(
    new_llamacpp: Callable[..., LlamaCppEngine],
) -> None:
    for engine, shared in ((new_llamacpp(), 0), (new_llamacpp(prompt_cache=False), len(SHOTS))):
        for item in ITEMS[:2]:
            reply = engine.ask(Request(text=SHOTS + item, shared=shared, max_tokens=1))
            assert reply.cached_tokens == 0
        engine.close()


@pytest.mark.model
def test_states_that_find_no_room_are_read_again_with_the_same_answers(
    new_llamacpp: Callable[..., LlamaCppEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "Colours: red, green, blue.\n\n" * 4
    turns = [text_of(ITEMS[0]), text_of(ITEMS[1], other)] * 2
    roomy = new_llamacpp()
    expected = answers(roomy, turns)
    roomy.close()
    monkeypatch.setattr(prefix, "_BUDGET", 1)
    tight = new_llamacpp()
    assert answers(tight, turns) == expected
    kept = tight._prefixes
    assert kept is not None
    assert len(list(kept.folder.iterdir())) == 1  # the last one used
    for state in kept.folder.iterdir():
        state.unlink()
    kept.folder.rmdir()  # as on a full disk: nothing can be saved
    assert answers(tight, turns) == expected
    tight.close()


@pytest.mark.model
def test_several_slots_begin_alike(new_llamacpp: Callable[..., LlamaCppEngine]) -> None:
    one, two = new_llamacpp(), new_llamacpp(slots=2)
    requests = [text_of(item) for item in ITEMS]
    assert answers(two, requests) == answers(one, requests)  # asked one by one
    one.close()
    two.close()


@pytest.mark.model
def test_a_beginning_that_is_too_long_is_told_by_the_call(
    new_llamacpp: Callable[..., LlamaCppEngine],
) -> None:
    engine = new_llamacpp()
    with pytest.raises(Exception, match="context 512"):
        engine.ask(text_of(ITEMS[0], SHOTS * 20))
    assert answers(engine, [text_of(ITEMS[0])])
    engine.close()


def test_folders_of_killed_programs_are_removed_and_others_kept(own_cache: Path) -> None:
    code = (
        "from quantrial.engines.llamacpp_process import Prefixes; p = Prefixes(1);"
        "(p.folder / 'state').write_text('x'); print(p.folder, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        mine = Prefixes(1)
        assert (theirs / "state").exists()
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        Prefixes(1).close()
    assert not theirs.exists()
    assert mine.folder.exists()
    mine.close()
    assert [path.name for path in (own_cache / "prefixes").iterdir()] == []


def test_a_slot_is_free_again_after_a_call_that_broke(own_cache: Path) -> None:
    kept = Prefixes(1)

    def broken_call(client: httpx.Client) -> None:
        with kept.begun(client, Request(text="a", max_tokens=1)) as begun:
            assert (begun.slot, begun.shared) == (0, False)
            raise httpx.ConnectError("broken")

    with httpx.Client() as client:
        for _ in range(3):  # a slot that is not given back would be waited for without end
            with pytest.raises(httpx.ConnectError):
                broken_call(client)
    kept.close()
