"""The Ollama engine against a server that loads one model at a time: provenance, loads, faults."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantrial.engines import Engine, Message, Request, make_engine
from quantrial.engines.gguf_file import read_header
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.ollama import OllamaEngine
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
    ModelFileError,
)
from quantrial.running.speed_phase import Prompted, speed_request
from quantrial.study import Arm
from servers.ollama import Model, OllamaServer

pytestmark = pytest.mark.model

PARIS = Request(text="Question: What is the capital of France?\nAnswer:", max_tokens=4)
CHAT = Request(
    messages=(Message("system", "Be brief."), Message("user", "Name a colour.")), max_tokens=6
)


@pytest.fixture
def server(ollama_model: Callable[..., Model]) -> Iterator[OllamaServer]:
    """A server of this test's own, with the small model in two types."""
    models = {"demo:q4_0": ollama_model("Q4_0"), "demo:q8_0": ollama_model("Q8_0")}
    with OllamaServer(models) as own:
        yield own


On = Callable[..., OllamaEngine]


@pytest.fixture
def on(server: OllamaServer) -> Iterator[On]:
    """Make engines on the server; all are closed at the end."""
    engines: list[OllamaEngine] = []

    def make(model: str = "demo:q4_0", **options: Any) -> OllamaEngine:
        engine = OllamaEngine(model, {"host": server.address, "num_ctx": 512, **options})
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


def asked(server: OllamaServer) -> list[dict[str, Any]]:
    """What the server was asked to answer."""
    return [
        body
        for path, body in server.requests
        if path in ("/api/chat", "/api/generate") and (body.get("prompt") or body.get("messages"))
    ]


def test_the_artifact_is_what_the_server_says_of_the_model(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On
) -> None:
    model = ollama_model("Q8_0", license="nothing to see")
    server.models["demo:q8_0"] = model
    artifact = on("demo:q8_0").describe()
    assert artifact.sha256 == model.blob
    assert artifact.bytes_on_disk == model.path.stat().st_size
    assert artifact.quantization == "Q8_0"
    assert artifact.parameters == read_header(model.path).parameters
    assert (artifact.architecture, artifact.context) == ("llama", 512)
    # 2 layers x 2 KV heads x (32 + 32) numbers x 2 bytes, for 512 tokens
    assert artifact.kv_bytes == 2 * 2 * 64 * 2 * 512
    assert artifact.one_at_a_time is None, "its server is to be asked, once all are loaded"
    assert artifact.details["digest"] == model.digest
    assert artifact.details["family"] == "llama"
    assert artifact.details["template"] == model.template
    modelfile = artifact.details["modelfile"]
    assert f"FROM sha256:{model.blob}" in modelfile
    assert "nothing" not in modelfile, "a license is long, and says nothing of the weights"
    assert str(model.path.parent) not in str(artifact), "no path of the server's machine"
    assert server.address not in str(artifact)
    assert server.loads == [], "describing loads nothing"


def test_tokenizers_have_one_hash_and_templates_their_own(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On
) -> None:
    one, other = (on(f"demo:{kind}").describe() for kind in ("q4_0", "q8_0"))
    assert one.tokenizer_sha256 is not None
    assert one.tokenizer_sha256 == other.tokenizer_sha256
    assert one.template_sha256 == other.template_sha256
    changed = ollama_model("Q8_0")
    changed.template += "Sure! "
    server.models["demo:q8_0"] = changed
    assert on("demo:q8_0").describe().template_sha256 != one.template_sha256


def test_a_tokenizer_in_reach_is_hashed_as_the_embedded_engine_does(
    server: OllamaServer, ollama_model: Callable[..., Model], tmp_path: Path, on: On
) -> None:
    model = ollama_model("Q4_0")
    blob = tmp_path / f"sha256-{model.blob}"
    blob.symlink_to(model.path)
    model.path = tmp_path / "weights"
    model.path.symlink_to(blob)
    server.models["demo:q4_0"] = model
    mine = read_header(blob).tokenizer_sha256
    assert on().describe().tokenizer_sha256 == mine


def test_the_version_of_the_server(server: OllamaServer, on: On) -> None:
    engine = on()
    assert engine.versions() == {"ollama": server.version}
    assert "logprobs" in engine.abilities
    server.version = "0.12.10"
    engine.versions()
    assert "logprobs" not in engine.abilities, "they came with 0.12.11"


def test_every_call_states_its_sampling_and_options(server: OllamaServer, on: On) -> None:
    engine = on(num_thread=1, keep_alive="10m")
    engine.ask(Request(text="x", max_tokens=3, stop=("\n",), seed=2**33 + 5, timeout=60))
    engine.ask(CHAT)
    raw, chat = asked(server)
    assert raw["raw"] is True
    assert raw["keep_alive"] == chat["keep_alive"] == "10m"
    assert chat["think"] is raw["think"] is False
    # what else would be cut is refused, and what else would slide ends
    assert {one[name] for one in (raw, chat) for name in ("truncate", "shift")} == {False}
    assert "stop" not in chat["options"], "those of the modelfile hold"
    # a penalty of repetition or another cut of the distribution would be another experiment
    assert raw["options"] == {
        "num_ctx": 512,
        "num_thread": 1,
        "temperature": 0.0,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0.05,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": (2**33 + 5) % (2**31 - 1),
        "num_predict": 3,
        "stop": ["\n"],
    }


def test_one_model_is_in_memory_and_its_load_is_no_part_of_the_answers_time(
    server: OllamaServer, on: On
) -> None:
    small, large = on("demo:q4_0"), on("demo:q8_0")
    replies = [one.ask(PARIS) for one in (small, small, large, small)]
    assert server.loads == ["demo:q4_0", "demo:q8_0", "demo:q4_0"]
    loads = [reply.timing.load for reply in replies]
    assert loads[1] is None
    assert all(load is not None and load > 0.1 for load in (loads[0], loads[2], loads[3]))
    for reply in replies:
        timing, tokens = reply.timing, reply.completion_tokens
        assert timing.wall is not None
        assert timing.first_token is not None
        assert 0 < timing.first_token <= timing.wall
        assert timing.prompt is not None
        assert timing.prompt + (timing.decode or 0) <= timing.wall * 1.001 + 1e-3
        assert tokens is not None
        assert reply.decoded_tokens == tokens - 1, "n tokens are n - 1 steps"
        assert (timing.decode is None) == (tokens == 1)


def test_a_load_within_a_call_is_told_apart(server: OllamaServer, on: On) -> None:
    engine = on()
    engine.start()
    real = OllamaEngine._loaded

    def unloaded_behind_our_back(self: OllamaEngine) -> bool:
        found = real(self)
        server.unload()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OllamaEngine, "_loaded", unloaded_behind_our_back)
        engine.ask(PARIS)  # takes the load of the start along
        reply = engine.ask(PARIS)
    assert len(server.loads) == 3
    timing = reply.timing
    assert timing.load is not None
    assert timing.wall is not None
    assert timing.load > 0.1
    assert timing.wall < timing.load + 1


def test_close_unloads_the_model_and_leaves_another_ones_alone(
    server: OllamaServer, on: On
) -> None:
    small, large = on("demo:q4_0"), on("demo:q8_0")
    large.describe()
    small.start()
    large.close()
    assert server.in_memory()
    small.close()
    assert not server.in_memory()


def test_a_model_is_unloaded_after_its_keep_alive(server: OllamaServer, on: On) -> None:
    engine = on(keep_alive="50ms")
    engine.ask(PARIS)
    time.sleep(0.1)
    assert not server.in_memory()
    assert engine.ask(PARIS).timing.load is not None


def test_a_replaced_model_stops_everything(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On
) -> None:
    engine = on()
    engine.ask(PARIS)
    server.models["demo:q4_0"] = ollama_model("Q8_0")
    with pytest.raises(ModelChangedError, match="another model than before: its digest") as caught:
        engine.ask(PARIS)
    assert not caught.value.retryable
    with pytest.raises(ModelChangedError):
        engine.start()
    del server.models["demo:q4_0"]
    server.unload()
    with pytest.raises(ModelChangedError, match="is not on the Ollama server"):
        engine.ask(PARIS)


def test_a_prompt_that_the_server_would_cut_is_an_overflow(server: OllamaServer, on: On) -> None:
    engine = on(num_ctx=64)
    with pytest.raises(ContextOverflowError, match=r"context of 64.*`num_ctx`") as caught:
        engine.ask(Request(text="The sea is wide. " * 40))
    assert not caught.value.retryable
    assert engine.ask(PARIS).output


def test_no_server_and_no_model_are_said_with_what_to_do(server: OllamaServer, on: On) -> None:
    nobody = OllamaEngine("demo:q4_0", {"host": "127.0.0.1:9"})
    for call in (nobody.describe, nobody.versions, nobody.start, lambda: nobody.ask(PARIS)):
        with pytest.raises(
            EngineStartError, match=r"nothing answers at http://127\.0\.0\.1:9.*ollama serve"
        ):
            call()
    nobody.close()
    absent = on("demo:q2_k")
    assert absent.missing()
    for call in (absent.describe, absent.start):
        with pytest.raises(ModelFileError, match=r"not on the Ollama server.*`ollama pull demo:q2"):
            call()


@pytest.mark.parametrize("model", ["demo:q4_0", "demo:q8_0"])
def test_the_list_of_the_speed_phase_is_gone_on_with_to_the_limit(on: On, model: str) -> None:
    engine = on(model)
    for block in range(3):
        what = Prompted((128, 96), block, "list")
        reply = engine.ask(speed_request(what, (), seed=block, timeout=60.0))
        # nor is it taken for a loop: the server ends 31 equal pieces in a row
        assert (reply.completion_tokens, reply.finish_reason) == (96, "length")


HUB = "hf.co/Acme/Small-GGUF:Q4_K_M"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("smol:Q4_K_M", "smol:q4_k_m"),
        (HUB, HUB.lower()),
        (HUB.lower(), HUB),
        (HUB, f"https://{HUB}"),
        ("Smol:latest", "smol"),
        ("smol:latest", "SMOL:LATEST"),
        ("smol:latest", "registry.ollama.ai/library/smol"),
        ("smol:latest", "library/Smol:Latest"),
        ("acme/smol:q8", "registry.ollama.ai/Acme/smol:Q8"),
    ],
)
def test_names_are_compared_as_the_server_compares_them(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On, stored: str, asked: str
) -> None:
    server.models = {stored: ollama_model("Q4_0")}
    engine = on(asked)
    assert not engine.missing()
    assert engine.describe().details["digest"] == server.models[stored].digest
    assert engine.start() > 0
    assert engine.start() == 0.0, "it is found among those in memory"
    assert engine.ask(PARIS).output, "and its answers are known to be its own"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [("smol:q4", "smol:q8"), ("acme/smol:q4", "smol:q4"), (HUB, "Acme/Small-GGUF:Q4_K_M")],
)
def test_other_names_are_other_models(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On, stored: str, asked: str
) -> None:
    server.models = {stored: ollama_model("Q4_0")}
    assert on(asked).missing()


def test_where_names_differ_in_case_alone_the_one_as_written_is_meant(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On
) -> None:
    server.models = {"Smol:q": ollama_model("Q4_0"), "smol:Q": ollama_model("Q8_0")}
    types = {name: on(name).describe().bytes_on_disk for name in server.models}
    assert types == {name: one.path.stat().st_size for name, one in server.models.items()}


def test_a_missing_model_is_pulled_with_its_progress(
    server: OllamaServer, ollama_model: Callable[..., Model], on: On
) -> None:
    model = ollama_model("Q4_0")
    server.remote["demo:latest"] = model
    engine = on("demo:latest")
    assert engine.missing()
    steps = list(engine.pull())
    size = model.path.stat().st_size
    assert steps[-1] == ("success", size, size)
    assert [done for _, done, _ in steps[1:4]] == [0, size // 2, size]
    assert not engine.missing()
    assert not on("demo").missing(), "no tag means latest"
    with pytest.raises(EngineError, match="file does not exist"):
        list(on("nothing").pull())


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:8000", "http://gpu-box:8000"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box/ollama/", "https://gpu-box:443/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_addresses_are_read_as_ollamas_own_tools_do(
    given: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OllamaEngine("m", {"host": given}).address == address
    monkeypatch.setenv("OLLAMA_HOST", given)
    assert OllamaEngine("m").address == address
    monkeypatch.delenv("OLLAMA_HOST")
    assert OllamaEngine("m").address == "http://127.0.0.1:11434"


def test_the_same_weights_give_the_same_answers_over_both_engines(
    server: OllamaServer, small: str
) -> None:
    arms = {
        "embedded": Arm(model=small, quantize="Q4_0", options={"context": 512, "threads": 1}),
        "server": Arm(
            engine="ollama", model="demo:q4_0", options={"host": server.address, "num_ctx": 512}
        ),
    }
    answers: dict[str, list[str]] = {}
    hashes = set()
    for name, arm in arms.items():
        engine: Engine = make_engine(name, arm, base=Path(), seed=0)
        hashes.add(engine.describe().sha256)
        answers[name] = [engine.ask(one).output for one in (PARIS, CHAT)]
        engine.close()
    assert len(hashes) == 1
    assert answers["embedded"] == answers["server"]


def raw(data: bytes, **how: Any) -> Callable[[Any], None]:
    return lambda handler: handler.raw(data, **how)


def hang_up(handler: Any) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def lines(*documents: str) -> bytes:
    return "".join(one + "\n" for one in documents).encode()


ALONE = '{"model": "demo:q4_0", "response": "hi", "done": false}'
DONE = '{"model": "demo:q4_0", "response": "", "done": true, "done_reason": "stop", "eval_count": 2'


@pytest.mark.parametrize(
    ("fault", "said", "retryable"),
    [
        (raw(b"<html>no</html>"), "unknown form", True),
        (raw(b'{"model": "demo'), "unknown form", True),
        (raw(b"[1]\n"), "unknown form", True),
        (raw(b""), "never said it was done", True),
        (raw(lines(ALONE)), "never said it was done", True),
        (raw(b'{"error": "busy"}', status=503), "answered 503: busy", True),
        (raw(b"gateway", status=502), "answered 502: gateway", True),
        (raw(b'{"error": "slow down"}', status=429), "answered 429: slow down", True),
        (raw(b'{"error": "wrong"}', status=400), "answered 400: wrong", False),
        (raw(lines(ALONE, '{"error": "the runner died"}')), "broke off: the runner died", True),
        (raw(lines(DONE.replace("q4_0", "q8_0") + "}")), "another model, 'demo:q8_0'", True),
        (
            raw(b'{"error": "model requires more system memory (9 GiB) than"}', status=500),
            "requires more system memory",
            False,
        ),
        (hang_up, "broke off while it answered", True),
    ],
)
def test_a_faulty_answer_is_a_fault_and_the_next_call_is_answered(
    server: OllamaServer, fault: Callable[[Any], None], said: str, retryable: bool, on: On
) -> None:
    engine = on()
    engine.start()
    server.faults.append(fault)
    with pytest.raises(EngineError, match=said) as caught:
        engine.ask(PARIS)
    assert caught.value.retryable is retryable
    assert not re.search("Traceback|<class", str(caught.value))
    assert engine.ask(PARIS).output


def test_an_answer_that_trickles_is_timed_as_a_whole(server: OllamaServer, on: On) -> None:
    def trickle(handler: Any) -> None:
        def parts() -> Iterator[dict[str, Any]]:
            for _ in range(100):
                time.sleep(0.05)
                yield {"model": "demo:q4_0", "response": "a", "done": False}

        handler.stream(parts())

    engine = on()
    engine.start()
    server.faults.append(trickle)
    began = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"no answer within 0\.3 s"):
        engine.ask(Request(text="x", timeout=0.3))
    assert time.monotonic() - began < 3


def test_an_endless_answer_is_cut(server: OllamaServer, on: On) -> None:
    flood = lines(*[ALONE.replace("hi", "x" * 2**20)] * 20)
    engine = on()
    engine.start()
    server.faults.append(raw(flood))
    with pytest.raises(EngineError, match="more text than any answer has") as caught:
        engine.ask(PARIS)
    assert not caught.value.retryable


def test_no_probabilities_where_they_were_asked_for_is_said(server: OllamaServer, on: On) -> None:
    engine = on()
    engine.start()
    server.faults.append(raw(lines(ALONE, DONE + "}")))
    with pytest.raises(EngineError, match="no probabilities of tokens") as caught:
        engine.ask(Request(text="x", logprobs=2))
    assert not caught.value.retryable


def test_the_server_is_not_asked_through_a_proxy(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch, on: On
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert on().versions()["ollama"] == server.version


def test_what_the_embedded_engine_serves_is_asked_alike(llamacpp: LlamaCppEngine) -> None:
    """The test server stands on it: the same request has the same answer without the server."""
    assert llamacpp.ask(PARIS).output
