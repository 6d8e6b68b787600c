"""The stand-in for Ollama, held to what a real server answered and to the rules it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import pytest

from quantrial.engines import Request
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file
from repetitions import repetitions
from servers.ollama import Model, OllamaServer
from servers.ollama_rules import Said, caught, rendered

pytestmark = pytest.mark.model

RECORDED = Path(__file__).parents[1] / "data" / "ollama" / "exchanges.jsonl"
EXCHANGES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
NAMES = [exchange["name"] for exchange in EXCHANGES]
# what does not depend on the words of an answer, on the clock, or on how a model was packed
SAME = {
    *("version", "model", "name", "done", "done_reason", "error", "prompt_eval_count"),
    *("prompt_tokens", "finish_reason", "role", "object", "owned_by", "system_fingerprint"),
    *("context_length", "size_vram", "format", "family", "families", "parameter_size"),
    *("quantization_level", "parameters", "template", "model_info", "capabilities"),
}
GREEDY = {"temperature": 0, "repeat_penalty": 1.0, "seed": 7}


def shape(said: Any) -> Any:
    """The keys of a document, and the kinds of what stands under them."""
    if isinstance(said, dict):
        return {key: shape(value) for key, value in said.items()}
    if isinstance(said, list):
        return [shape(said[0])] if said else []
    number = isinstance(said, int | float) and not isinstance(said, bool)
    return "number" if number else type(said).__name__


def same(said: Any) -> Any:
    """What of a document has to be as it was."""
    if isinstance(said, dict):
        found = {k: v if k in SAME else same(v) for k, v in said.items()}
        found["tensors"] = found.get("tensors", [])[:2]  # the recording holds no more of them
        if said.get("done_reason") == "length":  # the limit, or the window: no word plays a part
            found["eval_count"] = said["eval_count"]
        return {k: v for k, v in found.items() if k in SAME or k == "eval_count" or v}
    return [one for one in map(same, said) if one] if isinstance(said, list) else None


def repeats(pieces: Sequence[str]) -> int:
    """How often the last piece was repeated at the end."""
    return sum(1 for _ in takewhile(lambda one: one == pieces[-1], reversed(pieces))) - 1


def text_of(said: Mapping[str, Any]) -> str:
    if "choices" in said:
        choice = said["choices"][0]
        return str((choice.get("message") or choice.get("delta") or {}).get("content", ""))
    return str(said["message"]["content"] if "message" in said else said.get("response", ""))


def parts(reply: str | Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(one) for one in ([reply] if isinstance(reply, str) else reply)]


@pytest.fixture(scope="module", params=["small", *repetitions("recorded")])
def replayed(
    request: pytest.FixtureRequest, demo: str, small: str, shared_cache: Path
) -> dict[str, httpx.Response]:
    """What the stand-in answers to the requests, asked in their order.

    In place of the recorded model's weights the small model speaks, which takes a text for the same
    tokens. It neither comes to an end nor goes round in circles, and is told where to.
    """
    now, file = "", made_file(resolve(demo, Path()), "Q4_0")

    def told(_: str, said: Said, limit: int) -> Said:
        if now.startswith("loop"):
            return Said(("One", *[" and"] * (limit - 1)), "length", limit)
        return Said(("bill", "ing"), "stop", 3) if now.startswith("shots") else said

    voice, other = (told, Path(small)) if request.param == "small" else (caught, None)
    packed = {"x": "Q4_0", "q4_K_M": "Q4_K_M", "q4_0": "Q4_0", "q8_0": "Q8_0", "f16": "F16"}
    models = {
        f"smol:{name}": Model(file, voice=voice, packed=kind, other=other)
        for name, kind in packed.items()
    }
    with OllamaServer(models) as server:
        found = {}
        for exchange in EXCHANGES:
            asked, now = exchange["request"], exchange["name"]
            found[exchange["name"]] = httpx.request(
                asked["method"],
                server.address + asked["path"],
                content=None if asked["body"] is None else json.dumps(asked["body"]),
                timeout=120,
            )
        return found


@pytest.mark.parametrize("exchange", EXCHANGES, ids=NAMES)
def test_a_recorded_request_is_answered_as_the_real_server_did(
    replayed: dict[str, httpx.Response], exchange: dict[str, Any]
) -> None:
    got = replayed[exchange["name"]]
    assert (got.status_code, got.headers["content-type"]) == (
        exchange["status"],
        exchange["content_type"],
    )
    streamed = isinstance(exchange["reply"], list)
    theirs = parts(exchange["reply"])
    ours = parts(got.text.splitlines() if streamed else got.text)
    assert [shape(one) for one in (ours[0], ours[-1])] == [
        shape(one) for one in (theirs[0], theirs[-1])
    ]
    assert same(ours[-1]) == same(theirs[-1])
    assert [one.get("done") for one in ours[:-1]] == [False] * (len(ours) - 1)
    if exchange["name"].startswith("loop"):
        pieces = (
            [[text_of(one).strip() for one in said] for said in (ours, theirs)]
            if streamed
            else [text_of(said[0]).split() for said in (ours, theirs)]
        )
        assert repeats(pieces[0]) == repeats(pieces[1]) == 30


@pytest.fixture(scope="module")
def server(ollama_model: Callable[..., Model]) -> Iterator[OllamaServer]:
    with OllamaServer({"smol:q4_0": ollama_model("Q4_0")}) as own:
        yield own


@pytest.fixture(autouse=True)
def _as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        own = request.getfixturevalue("server")
        own.version, own.models["smol:q4_0"].voice = "0.22.1", None


Ask = Callable[..., tuple[httpx.Response, list[dict[str, Any]]]]


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
def ask(server: OllamaServer, request: pytest.FixtureRequest) -> Ask:
    """Ask the stand-in, with and without a stream; returns what came, and its documents."""

    def made(
        prompt: str | Sequence[Mapping[str, str]], *, window: int = 512, limit: int = 8, **more: Any
    ) -> tuple[httpx.Response, list[dict[str, Any]]]:
        options = {**GREEDY, "num_ctx": window, "num_predict": limit, **more.pop("options", {})}
        body = {"model": "smol:q4_0", "stream": request.param, "options": options, **more}
        chat = not isinstance(prompt, str)
        path = "/api/chat" if chat else "/api/generate"
        body |= {"messages" if chat else "prompt": prompt}
        got = httpx.post(server.address + path, json=body, timeout=120)
        kind = "application/x-ndjson" if request.param else "application/json; charset=utf-8"
        if got.status_code == 200:
            assert got.headers["content-type"] == kind
        return got, parts(got.text.splitlines())

    return made


@pytest.fixture(scope="module")
def count(llamacpp: LlamaCppEngine) -> Callable[[str], int]:
    """How many tokens llama.cpp reads in a text."""

    def counted(text: str) -> int:
        reply = llamacpp.ask(Request(text=text, max_tokens=1))
        assert reply.prompt_tokens is not None
        return reply.prompt_tokens

    return counted


def words(number: int) -> str:
    return " ".join(f"word{i}" for i in range(number))


def test_an_ordinary_answer(ask: Ask, count: Callable[[str], int]) -> None:
    turns = [{"role": "user", "content": "Name three rivers of Europe."}]
    _, said = ask(turns, window=256, limit=5)
    assert [one["done"] for one in said] == [False] * (len(said) - 1) + [True]
    assert said[-1]["done_reason"] == "length"
    assert (said[-1]["prompt_eval_count"], said[-1]["eval_count"]) == (count(rendered(turns)), 5)


def test_a_text_is_put_into_the_template_unless_it_is_raw(
    ask: Ask, count: Callable[[str], int]
) -> None:
    bare = "The Rhine flows through"
    inside = rendered([{"role": "user", "content": bare}])
    for raw, text in ((True, bare), (False, inside)):
        _, said = ask(bare, limit=3, raw=raw)
        assert said[-1]["prompt_eval_count"] == count(text)
        assert ("context" in said[-1]) is not raw


def saying(*pieces: str, then: str) -> Callable[[str, Said, int], Said]:
    """A model that says some pieces, and one over and over to the limit."""

    def say(_: str, __: Said, limit: int) -> Said:
        return Said((*pieces, *[then] * limit)[:limit], "length", limit)

    return say


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "text"])
@pytest.mark.parametrize(
    ("begin", "then", "limit", "shown", "done"),
    [
        (("Well", ","), " no", 200, 2 + 31, False),
        (("Well", ","), " no", 34, 2 + 31, False),
        (("Well", ","), " no", 33, 33, True),  # the 31st repeat never came
        (("no",), " no", 90, 31, False),  # white space around a piece makes it no other
        ((), "\n", 90, 30, False),  # nothing came before: the first white space is a repeat
        (("So",), " ", 90, 1 + 31, False),
        (("a", " b") * 100, " b", 150, 150, True),  # a loop of two is none
    ],
)
def test_an_answer_ends_at_the_31st_repeat_without_an_end(
    ask: Ask, server: OllamaServer, begin: tuple[str, ...], then: str, limit: int, shown: int,
    done: bool, chat: bool,
) -> None:  # fmt: skip
    server.models["smol:q4_0"].voice = saying(*begin, then=then)
    asked = [{"role": "user", "content": "Go on."}] if chat else "Go on"
    _, said = ask(asked, limit=limit, window=1024)
    assert said[-1]["done"] is done
    assert ("done_reason" in said[-1]) is ("eval_count" in said[-1]) is done
    whole = "".join(map(text_of, said))
    assert whole == "".join([*begin, *[then] * limit][:shown])
    if len(said) > 1:
        assert len(said) == shown + done


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_openais_form_says_no_reason_and_no_count_where_an_answer_loops(
    server: OllamaServer, stream: bool, path: str
) -> None:
    server.models["smol:q4_0"].voice = saying("Well", then=" no")
    asked = {"messages": [{"role": "user", "content": "Go on."}], "prompt": "Go on"}
    left = "prompt" if "chat" in path else "messages"
    body = {"model": "smol:q4_0", "max_tokens": 90, "temperature": 0, "stream": stream, **asked}
    del body[left]
    got = httpx.post(server.address + path, json=body, timeout=120)
    assert got.status_code == 200
    if stream:
        assert got.headers["content-type"] == "text/event-stream"
        events = got.text.strip().split("\n\n")
        assert len(events) == 32
        assert "data: [DONE]" not in events
        assert {json.loads(e[6:])["choices"][0]["finish_reason"] for e in events} == {None}
        return
    said = got.json()
    assert said["choices"][0]["finish_reason"] is None
    assert set(said["usage"].values()) == {0}
    server.models["smol:q4_0"].voice = saying("Well", then=" no")
    said = httpx.post(server.address + path, json=body | {"max_tokens": 9}, timeout=120).json()
    assert said["choices"][0]["finish_reason"] == "length"
    assert said["usage"]["completion_tokens"] == 9


def test_openais_form_keeps_the_servers_own_sampling(server: OllamaServer) -> None:
    voice, _ = server.ready({"model": "smol:q4_0"}, 4096)  # the window is no request's either
    real, held = voice.say, []

    def say(prompt: Sequence[int], options: Mapping[str, Any], *how: Any, **more: Any) -> Any:
        held.append(options)
        return real(prompt, options, *how, **more)

    voice.say = say  # type: ignore[method-assign]
    said = {"repeat_penalty": 1.0, "num_ctx": 512, "top_k": 1, "options": {"repeat_penalty": 1.0}}
    body = {"model": "smol:q4_0", "prompt": "Go on", "max_tokens": 2, "temperature": 0, **said}
    httpx.post(f"{server.address}/v1/completions", json=body, timeout=120)
    assert server.in_memory()
    server.unload()
    [options] = held
    names = ("repeat_penalty", "num_ctx", "top_k", "temperature", "num_predict")
    assert [options[name] for name in names] == [1.1, 4096, 40, 0, 2]


SHOT = (
    {"role": "user", "content": "Ticket: the bill is wrong"},
    {"role": "assistant", "content": "billing"},
)
LAST = {"role": "user", "content": "Ticket: it crashes"}
SYSTEM = {"role": "system", "content": "Label the ticket."}


@pytest.mark.parametrize("window", [96, 128, 160])
def test_the_oldest_messages_are_left_out_until_the_rest_fits(
    ask: Ask, count: Callable[[str], int], window: int
) -> None:
    turns = [SYSTEM, *SHOT * 12, LAST]
    # a shot adds the same number of tokens each time, and its first half always as many of them
    base, one = count(rendered([SYSTEM, LAST])), count(rendered([SYSTEM, *SHOT, LAST]))
    half = count(rendered([SYSTEM, SHOT[1], LAST])) - base
    pairs, rest = divmod(window - base, one - base)
    expected = base + pairs * (one - base) + (half if rest >= half else 0)
    assert count(rendered(turns)) == base + 12 * (one - base) > window
    _, said = ask(turns, window=window)
    assert said[-1]["prompt_eval_count"] == expected


def test_the_last_message_is_never_left_out_but_cut(ask: Ask) -> None:
    _, said = ask([SYSTEM, *SHOT, {"role": "user", "content": words(200)}], window=100)
    assert said[-1]["prompt_eval_count"] == 100


@pytest.mark.parametrize("window", [48, 200])
def test_a_long_text_is_cut_to_the_window(ask: Ask, window: int) -> None:
    _, said = ask(words(300), window=window, raw=True)
    assert (said[-1]["prompt_eval_count"], said[-1]["eval_count"]) == (window, 8)


def test_what_is_cut_is_not_the_start_nor_the_end(server: OllamaServer) -> None:
    heard: list[list[int]] = []
    voice, _ = server.ready({"model": "smol:q4_0"}, 64)
    real, tokens = voice.say, voice.tokens(words(100))

    def say(prompt: Sequence[int], *args: Any, **how: Any) -> Any:
        heard.append(list(prompt))
        return real(prompt, *args, **how)

    voice.say = say  # type: ignore[method-assign]
    options = {**GREEDY, "num_ctx": 64, "num_predict": 1}
    body = {"model": "smol:q4_0", "prompt": words(100), "raw": True, "options": options}
    httpx.post(f"{server.address}/api/generate", json=body, timeout=120)
    server.unload()
    assert heard == [tokens[:4] + tokens[-60:]]


def test_what_would_be_cut_is_refused_where_that_is_asked_for(
    ask: Ask, count: Callable[[str], int]
) -> None:
    fits = count(words(30))
    _, said = ask(words(30), window=fits, raw=True, truncate=False)
    assert said[-1]["prompt_eval_count"] == fits
    for prompt in (words(30), [SYSTEM, *SHOT * 12, LAST]):
        got, said = ask(prompt, window=fits - 1, raw=True, truncate=False)
        assert got.status_code == 400
        assert said == [{"error": "the input length exceeds the context length"}]
        assert got.headers["content-type"] in (
            "application/json",  # of a stream that has not begun
            "application/json; charset=utf-8",
        )


@pytest.mark.parametrize(("window", "limit"), [(64, 100), (96, 80), (128, 20)])
def test_an_answer_slides_on_or_ends_with_the_window(
    ask: Ask, count: Callable[[str], int], window: int, limit: int
) -> None:
    prompt = [{"role": "user", "content": "Write a long poem about the sea and the wind."}]
    _, slid = ask(prompt, window=window, limit=limit)
    assert (slid[-1]["done_reason"], slid[-1]["eval_count"]) == ("length", limit)
    _, held = ask(prompt, window=window, limit=limit, shift=False)
    # the last token of an answer is said, and takes no place any more
    room = window - count(rendered(prompt)) + 1
    assert (held[-1]["done_reason"], held[-1]["eval_count"]) == ("length", min(limit, room))


def test_a_schema_holds_the_answer(ask: Ask) -> None:
    held = {"enum": ["zinc", "iron"]}
    _, said = ask([{"role": "user", "content": "Is ice cold?"}], limit=60, format=held)
    assert said[-1]["done_reason"] == "stop"
    assert "".join(map(text_of, said)) in ('"zinc"', '"iron"')


def test_logprobs_stand_beside_each_piece(ask: Ask) -> None:
    _, said = ask("Two and two are", limit=4, raw=True, logprobs=True, top_logprobs=3)
    found = [one for part in said for one in part.get("logprobs", ())]
    assert len(found) == 4
    assert "".join(one["token"] for one in found) == "".join(map(text_of, said))
    assert {len(one["top_logprobs"]) for one in found} == {3}


@pytest.mark.parametrize("prompt", ["Tell me more", [{"role": "user", "content": "Why?"}]])
def test_what_cannot_be_is_refused(ask: Ask, prompt: Any) -> None:
    got, said = ask(prompt, think=True)
    assert (got.status_code, said) == (
        400,
        [{"error": '"smol:q4_0" does not support thinking'}],
    )
    got, said = ask(prompt, model="other:1b")
    assert (got.status_code, said) == (404, [{"error": "model 'other:1b' not found"}])


def test_thoughts_are_handed_over_apart(ask: Ask, server: OllamaServer) -> None:
    server.models["smol:q4_0"].thinks = ("<think>", "</think>")
    pieces = ("<think>", "Is", " it", "?", "</think>", "B", ".")
    server.models["smol:q4_0"].voice = lambda _, __, ___: Said(pieces, "stop", 8)
    for think, thought, text in ((True, "Is it?", "B."), (False, "", "".join(pieces))):
        _, said = ask([{"role": "user", "content": "A or B?"}], think=think)
        assert "".join(one["message"].get("thinking", "") for one in said) == thought
        assert "".join(map(text_of, said)) == text
    server.models["smol:q4_0"].thinks = None


def test_loads_and_their_windows_are_told(server: OllamaServer) -> None:
    def post(**body: Any) -> dict[str, Any]:
        body |= {"model": "smol:q4_0"}
        said: dict[str, Any] = httpx.post(
            f"{server.address}/api/generate", json=body, timeout=120
        ).json()
        return said

    assert post(options={"num_ctx": 320})["done_reason"] == "load"
    [running] = httpx.get(f"{server.address}/api/ps").json()["models"]
    assert (running["name"], running["context_length"]) == ("smol:q4_0", 320)
    assert post(keep_alive=0)["done_reason"] == "unload"
    assert httpx.get(f"{server.address}/api/ps").json() == {"models": []}


@pytest.mark.parametrize(
    ("version", "counted"),
    # keeping 4 tokens: 4 + (100 - 4) / 2 in the runner that 0.4 replaced
    [("0.12.3", 100), ("0.5.7", 100), ("0.3.14", 52)],
)
def test_an_older_server_knows_neither_truncate_nor_shift(
    ask: Ask, server: OllamaServer, version: str, counted: int
) -> None:
    server.version = version
    _, said = ask(words(200), window=100, limit=60, raw=True, truncate=False, shift=False)
    assert (said[-1]["prompt_eval_count"], said[-1]["eval_count"]) == (counted, 60)
    _, said = ask([SYSTEM, *SHOT * 12, LAST], window=100, truncate=False)
    assert said[-1]["prompt_eval_count"] < 100
