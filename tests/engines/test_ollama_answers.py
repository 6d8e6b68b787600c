"""What the Ollama engine makes of answers, sound and odd ones, and of prompts that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quantrial.engines import Message, Reply, Request
from quantrial.engines.ollama import OllamaEngine
from quantrial.errors import ContextOverflowError, EngineError
from servers.ollama import Model, OllamaServer
from servers.ollama_rules import Said, rendered
from servers.ollama_voice import Words, words_of

ASKED = Request(text="Question: What is the capital of France?\nAnswer:", max_tokens=40)
CHAT = Request(messages=(Message("user", "What is the capital of France?"),), max_tokens=40)


@pytest.fixture(scope="module")
def server(wordy: Callable[..., Model]) -> Iterator[OllamaServer]:
    with OllamaServer({"demo:q4_0": wordy()}) as own:
        yield own


@pytest.fixture(scope="module")
def engine(server: OllamaServer) -> Iterator[OllamaEngine]:
    made = OllamaEngine("demo:q4_0", {"host": server.address, "num_ctx": 512})
    made.start()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _as_it_was(server: OllamaServer) -> Iterator[None]:
    yield
    server.version, server.models["demo:q4_0"].voice = "0.22.1", None
    server.faults.clear()


def piece(text: str, *, chat: bool = False, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"model": "demo:q4_0", "done": False, **more}
    thought = {"thinking": said.pop("thinking")} if "thinking" in said else {}
    if chat:
        return said | {"message": {"role": "assistant", "content": text, **thought}}
    return said | {"response": text, **thought}


def last(**more: Any) -> dict[str, Any]:
    counts = {"prompt_eval_count": 12, "eval_count": 3}
    said = piece("", **{"done": True, "done_reason": "stop", **counts, **more})
    return {name: value for name, value in said.items() if value is not None}


def says(
    server: OllamaServer, *parts: dict[str, Any] | str, end: str = "\n", kind: str | None = None
) -> None:
    """Have the next call answered with these lines."""
    texts = [part if isinstance(part, str) else json.dumps(part) for part in parts]
    data = "".join(f"{text}{end}" for text in texts).encode()
    server.faults.append(lambda handler: handler.raw(data, kind=kind or "application/x-ndjson"))


def asked(server: OllamaServer) -> list[dict[str, Any]]:
    paths = ("/api/chat", "/api/generate")
    return [
        body
        for path, body in server.requests
        if path in paths and (body.get("prompt") or body.get("messages"))
    ]


def looped(reply: Reply, text: str) -> None:
    assert (reply.output, reply.finish_reason) == (text, "repeat_limit")
    assert reply.completion_tokens is reply.prompt_tokens is reply.decoded_tokens is None


@pytest.mark.parametrize("request_", [ASKED, CHAT], ids=["text", "chat"])
def test_an_answer_that_the_server_ends_for_its_repeats_is_an_answer(
    server: OllamaServer, engine: OllamaEngine, request_: Request
) -> None:
    server.models["demo:q4_0"].voice = lambda _, __, limit: Said(
        ("Well", ",", *[" no"] * limit)[:limit], "length", limit
    )
    looped(engine.ask(request_), "Well," + " no" * 31)


def test_pieces_that_repeat_in_thought_are_kept_as_thought(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    parts = [piece("", chat=True, thinking=" wait") for _ in range(31)]
    says(server, *parts)
    reply = engine.ask(CHAT)
    assert (reply.output, reply.thought) == ("", " wait" * 31)
    assert reply.finish_reason == "repeat_limit"


@pytest.mark.parametrize(
    "parts",
    [
        [piece("no " * 31)],  # a server that does not stream: `done` is false
        [piece("Well"), *[piece("\n")] * 31],
        [*[piece(" ")] * 30],
    ],
)
def test_repeats_are_seen_however_the_answer_comes(
    server: OllamaServer, engine: OllamaEngine, parts: list[dict[str, Any]]
) -> None:
    says(server, *parts)
    looped(engine.ask(ASKED), "".join(part["response"] for part in parts))


@pytest.mark.parametrize(
    ("parts", "come"),
    [
        ([piece("Well"), *[piece(" no")] * 20], "Well" + " no" * 20),
        ([*[piece(" no")] * 31, piece(" but")], " no" * 31 + " but"),
        ([piece("The capital")], "The capital"),
        ([*[piece("a"), piece("b")] * 40], "ab" * 40),
        ([], None),
    ],
)
def test_an_answer_that_breaks_off_otherwise_is_a_fault_that_holds_what_came(
    server: OllamaServer, engine: OllamaEngine, parts: list[dict[str, Any]], come: str | None
) -> None:
    says(server, *parts)
    with pytest.raises(EngineError, match="never said it was done") as caught:
        engine.ask(ASKED)
    assert caught.value.retryable
    assert (None if caught.value.partial is None else caught.value.partial.output) == come


def test_a_connection_that_breaks_in_a_loop_is_a_fault(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    """The server ends a looping answer; a stream without its end was cut by something else."""

    def cut(handler: Any) -> None:
        data = json.dumps(piece(" no")).encode() + b"\n"
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-ndjson")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write((f"{len(data):x}\r\n".encode() + data + b"\r\n") * 31)
        handler.close_connection = True

    server.faults.append(cut)
    with pytest.raises(EngineError, match="broke off while it answered after 93 characters"):
        engine.ask(ASKED)


def test_a_thought_stands_apart(server: OllamaServer, engine: OllamaEngine) -> None:
    says(
        server,
        *[piece("", chat=True, thinking=one) for one in ("It is", " B.")],
        piece("B", chat=True),
        last(message={"role": "assistant", "content": ""}),
    )
    reply = engine.ask(CHAT)
    assert (reply.thought, reply.output, reply.finish_reason) == ("It is B.", "B", "stop")
    says(server, piece("B", thinking="Is it?"), last())
    reply = engine.ask(ASKED)
    assert (reply.thought, reply.output) == ("Is it?", "B")


@pytest.mark.parametrize(
    ("counts", "prompt", "answer"),
    [
        ({"eval_count": 41}, 12, 41),
        ({"eval_count": 0}, 12, 0),
        ({"eval_count": None, "prompt_eval_count": None}, None, None),  # 0 is left out
        ({"eval_count": -3, "prompt_eval_count": "many"}, "many", -3),
    ],
)
def test_a_count_that_cannot_be_costs_no_answer(
    server: OllamaServer, engine: OllamaEngine, counts: dict[str, Any], prompt: Any, answer: Any
) -> None:
    says(server, piece("Paris"), last(**counts))
    reply = engine.ask(ASKED)
    assert (reply.output, reply.finish_reason) == ("Paris", "stop")
    # they are handed on as they came: what is believed of a reply is decided for all engines
    assert (reply.prompt_tokens, reply.completion_tokens) == (prompt, answer)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
@pytest.mark.parametrize("text", ["Paris\u2028\x85, \x0b\u2029x", "日本語 🦊"])
def test_only_a_line_feed_ends_a_piece(
    server: OllamaServer, engine: OllamaEngine, end: str, text: str
) -> None:
    parts = [json.dumps(one, ensure_ascii=False) for one in (piece(text), last())]
    says(server, *parts, end=end)
    assert engine.ask(ASKED).output == text


def test_pieces_may_come_in_any_cut_and_the_last_one_without_an_end(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    data = "\n".join(json.dumps(one) for one in (piece("Par"), piece("is 🦊"), last())).encode()

    def drip(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i in range(0, len(data), 7):
            chunk = data[i : i + 7]
            handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")

    server.faults.append(drip)
    assert engine.ask(ASKED).output == "Paris 🦊"


def test_what_comes_after_the_last_piece_changes_nothing(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    says(server, piece("Paris"), last(), piece("London"), '{"error": "late"}', "<html>")
    assert engine.ask(ASKED).output == "Paris"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (piece("x") | {"response": 3}, "unknown form"),
        (piece("", chat=True) | {"message": "no"}, "unknown form"),
        (piece("\ud800"), "unknown form"),
        (piece("x", model=["m"]), "unknown form"),
        ('{"error": {"message": "out of luck"}}', "broke off: out of luck"),
    ],
)
def test_a_piece_of_another_form_is_a_fault(
    server: OllamaServer, engine: OllamaEngine, part: Any, said: str
) -> None:
    says(server, part, last())
    with pytest.raises(EngineError, match=said) as caught:
        engine.ask(ASKED)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "said",
    [
        "the input length exceeds the context length",
        "the prompt is longer than the context length currently available to the model",
        "the request (951 tokens) exceeds the available context size (512 tokens)",
    ],
)
def test_a_prompt_that_is_refused_is_an_overflow(
    server: OllamaServer, engine: OllamaEngine, said: str
) -> None:
    data = json.dumps({"error": said}).encode()
    server.faults.append(lambda handler: handler.raw(data, status=400))
    with pytest.raises(ContextOverflowError, match="`num_ctx`") as caught:
        engine.ask(ASKED)
    assert not caught.value.retryable


def test_an_answer_that_fills_the_window_is_a_truncated_answer(wordy: Callable[..., Model]) -> None:
    """It is no fault: which arm it happens to depends on what is answered."""
    tell = Request(messages=(Message("user", "Write a long story about a fox."),), max_tokens=90)
    with OllamaServer({"demo:q4_0": wordy()}) as own:
        own.models["demo:q4_0"].voice = lambda _, __, limit: Said(
            tuple(f" w{i}" for i in range(min(80, limit))), "stop" if limit > 80 else "length",
            min(80, limit),
        )  # fmt: skip
        # the prompt has 15 words and marks: 64 - 15 + 1 tokens, the last beyond the window; a
        # server that lets it slide says that it ended by itself, but that was without the question
        for version, spoken in (("0.22.1", 50), ("0.12.3", 80)):
            own.version = version
            engine = OllamaEngine("demo:q4_0", {"host": own.address, "num_ctx": 64})
            reply = engine.ask(tell)
            assert (reply.finish_reason, reply.completion_tokens) == ("length", spoken)
            assert len(reply.output.split()) == spoken
            engine.close()


SHOT = (
    Message("user", "Ticket: the bill is wrong, and it was wrong last month as well"),
    Message("assistant", "billing"),
)
LAST = Message("user", "Ticket: it crashes")
SYSTEM = Message("system", "Label the ticket.")


def words(number: int) -> str:
    return " ".join(f"word{i}" for i in range(number))


def chat(*turns: Message) -> Request:
    return Request(messages=turns, max_tokens=4)


def text(number: int) -> Request:
    return Request(text=words(number), max_tokens=4)


def tokens(request: Request) -> int:
    """How many tokens a prompt has, were it not cut."""
    turns = [{"role": m.role, "content": m.content} for m in request.messages]
    return len(words_of(request.text or rendered(turns)))


@pytest.mark.parametrize("version", ["0.22.1", "0.12.3", "0.5.7", "0.3.14", "0.0.0"])
@pytest.mark.parametrize(
    "request_",
    [text(161), text(200), text(400), chat(SYSTEM, *SHOT * 12, LAST), chat(*SHOT * 7, LAST),
     chat(SYSTEM, Message("user", words(200))), chat(Message("user", words(170)))],
    ids=["text-161", "text-200", "text-400", "shots-12", "shots-7", "long-last", "one"],
)  # fmt: skip
def test_no_answer_is_taken_of_a_prompt_that_was_cut(
    server: OllamaServer, version: str, request_: Request
) -> None:
    """By a server that refuses it, by those that know neither `truncate` nor `shift`, and by one
    whose version says nothing, whatever was asked of it before."""
    assert tokens(request_) > 160
    server.version = version
    for before in ([], [text(3)], [chat(SYSTEM, *SHOT, LAST), text(30)]):
        engine = OllamaEngine("demo:q4_0", {"host": server.address, "num_ctx": 160})
        for one in before:
            assert engine.ask(one).prompt_tokens == tokens(one)
        with pytest.raises(ContextOverflowError, match="`num_ctx`"):
            engine.ask(request_)
        engine.close()


@pytest.mark.parametrize("version", ["0.22.1", "0.12.3", "0.3.14", "0.0.0"])
def test_a_prompt_that_fits_is_answered_however_near_it_comes(
    server: OllamaServer, version: str
) -> None:
    server.version = version
    engine = OllamaEngine("demo:q4_0", {"host": server.address, "num_ctx": 160})
    half = 160 // 2 + 2
    fits = [text(n) for n in range(1, 60)] + [
        Request(text="a " * n + "b", max_tokens=4) for n in (*range(half - 3, half + 4), 130)
    ]
    fits += [chat(SYSTEM, *SHOT * n, LAST) for n in range(1, 7)]
    counted = {tokens(one): one for one in fits if tokens(one) < 130}
    assert {half - 1, half, half + 1} <= counted.keys()
    for count, one in counted.items():
        assert engine.ask(one).prompt_tokens == count
    engine.close()


class Capped(Words):
    """Reads the last words of a prompt and no more."""

    def tokens(self, text: str) -> list[int]:
        return super().tokens(text)[-60:]


def test_counts_that_do_not_grow_with_the_prompt_are_an_overflow(
    wordy: Callable[..., Model],
) -> None:
    """A server that cuts at some length of its own, and says that it is a new one."""
    model = wordy()
    model.words = Capped()
    with OllamaServer({"demo:q4_0": model}) as own:
        engine = OllamaEngine("demo:q4_0", {"host": own.address, "num_ctx": 512})
        for short in (text(2), text(5), text(8)):
            assert engine.ask(short).prompt_tokens
        engine.ask(text(70))  # its count is no sign of anything yet
        for length in (90, 64, 130):
            with pytest.raises(ContextOverflowError, match="no more where words are added"):
                engine.ask(text(length))
        assert engine.ask(text(6)).prompt_tokens
        engine.close()


def test_a_server_that_refuses_is_asked_nothing_further(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    """One prompt that is too long settles it; the other calls are those that were asked for."""
    begun = len(asked(server))
    for number in (2, 60, 20, 70, 25, 30, 35):
        engine.ask(text(number))
    assert len(asked(server)) - begun <= 7 + 1
    begun = len(asked(server))
    for number in (2, 60, 20, 70):
        engine.ask(text(number))
    assert len(asked(server)) - begun == 4


def test_a_model_made_for_less_than_num_ctx_has_its_own_window(wordy: Callable[..., Model]) -> None:
    """The server takes no more than the model was trained for, and says so of what is loaded."""
    with OllamaServer({"demo:q4_0": wordy(window=96)}, version="0.12.3") as own:
        engine = OllamaEngine("demo:q4_0", {"host": own.address, "num_ctx": 4096})
        assert engine.ask(text(10)).output
        with pytest.raises(ContextOverflowError, match="in a window of 96"):
            engine.ask(text(100))
        engine.close()
