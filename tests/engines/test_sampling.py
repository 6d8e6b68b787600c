"""What a server does with sampling that nobody stated: which software it is, what a probe shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from engines.made_openai import made
from quantrial.engines import Engine, Reply, Request
from quantrial.engines.artifact import Sampling
from quantrial.engines.model_files import resolve
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.requantize import made_file
from quantrial.engines.scripted import ScriptedEngine, prompt_of
from quantrial.errors import EngineCrashedError, EngineError
from quantrial.records import ArmRecord
from quantrial.runfolder import RunFolder
from quantrial.running.penalty import Finding, find_penalty, probe_sampling
from servers.faulty import Answer, Call, FaultyServer, Say, faulty_server, openai_answer
from servers.llama_server import LlamaServer, llama_server
from servers.ollama import Model, OllamaServer
from studies import write_study

pytestmark = pytest.mark.usefixtures("undrawn")

ALL = ("repeat_penalty", "presence_penalty", "frequency_penalty", "top_k", "top_p", "min_p")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server(model="m", text="A") as listening:
        yield listening


def serving(
    entry: dict[str, Any],
    beside: dict[str, Any] | None = None,
    answer: Callable[[Call, Say], Answer] = openai_answer,
) -> Callable[[Call, Say], Answer]:
    """Serve a model under an entry of the list, and JSON at addresses beside `/v1`."""

    def serve(call: Call, say: Say) -> Answer:
        if call.body:
            return answer(call, say)
        if call.path.endswith("/models"):
            said: Any = {"data": [{"id": say.model, **entry}]}
        else:
            said = (beside or {}).get(call.path, [])
        return Answer("application/json", (json.dumps(said).encode(),))

    return serve


VERSION = {"/api/version": {"version": "0.22.1"}}


@pytest.mark.parametrize(
    ("entry", "beside", "served"),
    [
        ({"owned_by": "library"}, VERSION, "Ollama 0.22.1"),
        ({"owned_by": "library"}, {}, "Ollama"),
        ({"owned_by": "somebody"}, VERSION, "Ollama 0.22.1"),  # a model of a user's own
        ({}, VERSION, "Ollama 0.22.1"),
        ({"owned_by": "vllm"}, {}, "vLLM"),
        ({"owned_by": "sglang"}, {}, "SGLang"),
        ({"owned_by": "llamacpp"}, {}, "llama-server"),
        ({"owned_by": "me"}, {}, "llama-cpp-python's server"),
        ({"owned_by": "organization_owner"}, {}, "LM Studio"),
        ({"owned_by": "tabbyAPI"}, {}, "TabbyAPI"),
        ({"owned_by": "koboldcpp"}, VERSION, "KoboldCpp"),  # it speaks Ollama's language too
        ({"owned_by": "openai", "created": 1677610602}, {}, "LiteLLM"),
        ({"owned_by": "openai", "created": 1700000000}, {}, None),
        ({"owned_by": "acme"}, {}, None),
        ({}, {"/api/version": {"version": ["0.22.1"]}}, None),
        ({}, {"/api/version": {"error": "no"}}, None),
        ({"owned_by": 7}, {}, None),
    ],
)
def test_software_is_recognized_by_what_it_says_of_itself(
    server: FaultyServer, entry: dict[str, Any], beside: dict[str, Any], served: str | None
) -> None:
    server.answer = serving(entry, beside)
    told = made("m", {"base_url": server.url}).describe().sampling
    assert told is not None
    assert (told.served_by, told.unstated) == (served, ALL)
    assert (told.penalty is not None) is (served is not None and served.startswith("Ollama"))


def test_software_that_is_not_asked_as_itself_is_told_how(server: FaultyServer) -> None:
    for owner, advice in (
        ("vllm", "server: vllm states them"),
        ("llamacpp", "server: llama.cpp states them"),
        ("library", "the engine ollama asks the same model"),
        ("organization_owner", "extra_body: {repeat_penalty: 1,"),
    ):
        server.answer = serving({"owned_by": owner})
        told = made("m", {"base_url": server.url}).describe().sampling
        assert told is not None
        assert advice in str(told.advice)
    server.answer = serving({"owned_by": "vllm"})
    assert made("m", {"base_url": server.url, "server": "vllm"}).describe().sampling is None
    # what Ollama's /v1 is told of a penalty it passes over
    server.answer = serving({"owned_by": "library"})
    stated = made("m", {"base_url": server.url, "server": "sglang"}).describe().sampling
    assert stated is not None
    assert (stated.unstated, stated.doubtful) == ((), False)
    assert stated.penalty is not None


def test_what_the_study_states_itself_is_stated(server: FaultyServer) -> None:
    own = {"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "top_k": None}
    told = made("m", {"base_url": server.url, "extra_body": own}).describe().sampling
    assert told == Sampling(unstated=("top_k", "top_p", "min_p"))
    assert not told.doubtful


def test_ollama_is_known_by_the_fingerprint_of_its_answers_alone(server: FaultyServer) -> None:
    server.say = replace(server.say, fingerprint="fp_ollama")
    engine = made("m", {"base_url": server.url})
    assert engine.sampling().doubtful
    (found,) = probe_sampling({"q4": engine}).values()
    assert found.penalty == "seen"
    assert "Ollama keeps a repeat_penalty of 1.1 and takes no other" in found.text


# --- the probe ------------------------------------------------------------------------------------


class _Server(ScriptedEngine):
    """An engine whose server has sampling of its own, and answers by a function."""

    def __init__(self, reply: Callable[[Request], Reply | Exception], *, logprobs: bool = True):
        super().__init__(lambda _: "")
        self.abilities = frozenset({"logprobs"} if logprobs else ())
        self.requests: list[Request] = []
        self._say = reply

    def sampling(self) -> Sampling:
        return Sampling(unstated=ALL)

    def ask(self, request: Request) -> Reply:
        self.requests.append(request)
        said = self._say(request)
        if isinstance(said, Exception):
            raise said
        return said


def sentence_of(request: Request) -> str:
    return next(
        s for s in ("The cat sat on the mat.", "One red boat came home.") if s in str(request)
    )


def tokens(*pairs: tuple[float, float]) -> Any:
    """Write tokens with their own logarithm and that of the likeliest."""
    return tuple({"token": "x", "logprob": own, "top": [["y", best]]} for own, best in pairs)


def repeats(request: Request) -> Reply:
    """Go on with the sentence up to the limit, which cuts a word."""
    return Reply(f"{' '.join([sentence_of(request)] * 6)} The c", "length")


def departs(request: Request) -> Reply:
    """Say the sentence once, and then something else."""
    return Reply(f"{sentence_of(request)} Then a dog came by and sat on it for", "length")


def never(request: Request) -> Reply:
    """Say something of the sentence that is no repetition."""
    return Reply(f"This is a story that says {sentence_of(request)[:7]} and more of it", "length")


def likely(request: Request) -> Reply:
    return replace(
        repeats(request) if "mat" in prompt_of(request) else Reply("The fox went on."),
        logprobs=tokens(*[(-0.1, -0.1)] * 20),
    )


def weak(request: Request) -> Reply:
    """Take a less likely token in ordinary text alone, as under a weak penalty."""
    if "mat" in prompt_of(request):
        return likely(request)
    return Reply("The fox", "length", logprobs=tokens(*[(-0.1, -0.1)] * 20, (-1.2, -0.4)))


@pytest.mark.parametrize(
    ("reply", "penalty", "asked"),
    [
        (repeats, "none", 1),
        (departs, "seen", 1),
        (never, "seen", 2),
        (likely, "none", 2),
        (weak, "seen", 2),
        (lambda r: replace(repeats(r), logprobs=tokens(*[(-0.1, -0.1)] * 9, (-3, -1))), "seen", 1),
        # tokens that rounding exchanges are as likely
        (lambda r: replace(likely(r), logprobs=tokens(*[(-0.701, -0.7)] * 9)), "none", 2),
        # one that answers everything alike, short or long, says nothing
        (lambda r: Reply("Paris.", "stop"), "unknown", 1),
        (lambda r: Reply("", "stop"), "unknown", 1),
        (lambda r: Reply("I am sorry, but I cannot help with that.", "stop"), "unknown", 2),
        # nor does one that has had enough of it
        (lambda r: Reply(f"{sentence_of(r)} The end.", "stop"), "unknown", 1),
        (lambda r: EngineCrashedError("gone"), "unknown", 2),  # as a text, and in a chat
    ],
)
def test_by_hand_what_a_probe_tells(
    reply: Callable[[Request], Reply | Exception], penalty: str, asked: int
) -> None:
    engine = _Server(reply)
    found = find_penalty(engine)
    assert (found.penalty, len(engine.requests)) == (penalty, asked)
    assert found.text


def test_a_server_without_probabilities_or_texts_is_asked_for_what_it_has() -> None:
    def chats_alone(request: Request) -> Reply | Exception:
        if request.text is not None or request.logprobs:
            error = EngineError("400")
            error.retryable = False
            return error
        return repeats(request)

    engine = _Server(chats_alone)
    assert find_penalty(engine).penalty == "none"
    assert [(bool(r.messages), r.logprobs) for r in engine.requests] == [
        *((False, 2), (False, 0), (True, 2), (True, 0))
    ]

    def no_probabilities(request: Request) -> EngineError:
        error = EngineError("the server gave no probabilities of tokens")
        error.retryable, error.partial = False, departs(request)
        return error

    assert find_penalty(_Server(no_probabilities)).penalty == "seen"


def test_only_what_may_punish_repetition_is_probed(server: FaultyServer) -> None:
    arms: dict[str, Engine] = {
        "stated": made("m", {"base_url": server.url, "server": "vllm"}),
        "scripted": ScriptedEngine(lambda _: "A"),
        "open": made("m", {"base_url": server.url}),
    }
    assert set(probe_sampling(arms)) == {"open"}
    assert len(server.asked) == 1


@pytest.mark.model
@pytest.mark.parametrize(
    ("own", "penalty"),
    [
        ({}, "none"),
        ({"repeat_penalty": 1.0}, "none"),
        ({"repeat_penalty": 1.05}, "seen"),
        ({"repeat_penalty": 1.1}, "seen"),
        ({"frequency_penalty": 0.5}, "seen"),
        ({"presence_penalty": 1.0}, "seen"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_penalty_of_a_real_server_is_seen_and_none_is_made_up(
    new_openai: Callable[..., OpenAIEngine], own: dict[str, float], penalty: str, stream: bool
) -> None:
    engine = new_openai(server="generic", extra_body=own, stream=stream)
    assert find_penalty(engine).penalty == penalty


@pytest.fixture(scope="module")
def demo_server(demo: str, shared_cache: Path) -> Iterator[LlamaServer]:
    """llama.cpp's own server with the demo model, whose texts are no random words."""
    model = made_file(resolve(demo, Path()), "Q4_0")
    with llama_server(model, name="smollm2-q4_0", key="sk-test-0123456789") as server:
        yield server


@pytest.mark.model
@pytest.mark.parametrize(("own", "penalty"), [({}, "none"), ({"repeat_penalty": 1.1}, "seen")])
def test_a_real_servers_texts_alone_show_a_penalty(
    demo_server: LlamaServer,
    own: dict[str, float],
    penalty: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUANTRIAL_TEST_KEY", demo_server.key)
    said = {"base_url": demo_server.url, "server": "generic", "api_key_env": "QUANTRIAL_TEST_KEY"}
    engine = made(demo_server.name, said | {"extra_body": own})
    engine.abilities -= {"logprobs"}
    assert find_penalty(engine).penalty == penalty


# --- plan, run, decision --------------------------------------------------------------------------


def study_over(folder: Path, arms: dict[str, FaultyServer], **options: Any) -> Path:
    return write_study(
        folder,
        arms={
            name: {"engine": "openai", "model": "m", "options": {"base_url": one.url, **options}}
            for name, one in arms.items()
        },
    )


def checks(found: Any) -> dict[str, tuple[str, str]]:
    return {one["id"]: (one["status"], one["text"]) for one in found}


def test_a_plan_says_what_cannot_be_stated_and_names_the_engine_that_can(
    tmp_path: Path, server: FaultyServer
) -> None:
    with faulty_server(model="m", text="A") as other:
        study = study_over(tmp_path, {"f16": server, "q4": other})
        said = [one for one in quantrial.plan(study).warnings if "the study sets no" in one]
        assert said == [
            "the study sets no repeat_penalty, presence_penalty, frequency_penalty, top_k, top_p "
            "or min_p for f16 and q4. The server uses its own values, and a penalty changes even "
            "greedy answers."
        ]
        assert not server.asked
        for one in (server, other):
            one.answer = serving({"owned_by": "library"}, VERSION)
        plan = quantrial.plan(study)
        assert not [one for one in plan.warnings if "the study sets no" in one]
        (check,) = [one for one in plan.assay if one.id == "sampling"]
        assert check.status == "warn"
        assert check.text == (
            "Repetition is punished in the answers of f16 and q4, so loops do not show: Ollama "
            "0.22.1 keeps a repeat_penalty of 1.1 and takes no other; the engine ollama asks "
            "the same model with all sampling stated."
        )


def answering(reply: Callable[[Request], Reply]) -> Callable[[Call, Say], Answer]:
    """Answer the probe's texts as a model would, and all else as ever."""

    def answer(call: Call, say: Say) -> Answer:
        text = str(call.body.get("prompt") or "")
        if not any(one in text for one in ("The cat sat", "One red boat")):
            return openai_answer(call, say)
        said = reply(Request(text=text))
        counts = {"prompt_tokens": 40, "completion_tokens": 48}
        return openai_answer(call, replace(say, text=said.output, finish="length", usage=counts))

    return answer


@pytest.mark.parametrize(
    ("replies", "status", "said"),
    [
        ((repeats, repeats), "pass", "No answer shows that repetition is punished"),
        ((departs, departs), "warn", "punished in the answers of f16 and q4, so loops do not"),
        ((never, never), "warn", "punished in the answers of f16 and q4, so loops do not"),
        ((repeats, never), "fail", "punished in the answers of q4 and not in those of f16:"),
        ((departs, repeats), "fail", "punished in the answers of f16 and not in those of q4:"),
        (
            (repeats, None),
            "unknown",
            "not known whether repetition is punished in the answers of q4.",
        ),
        ((None, departs), "warn", "punished in the answers of q4, so loops do not show"),
    ],
)
def test_a_penalty_that_a_probe_shows_is_said_at_plan_and_where_the_decision_is_read(
    tmp_path: Path, server: FaultyServer, replies: Any, status: str, said: str
) -> None:
    with faulty_server(model="m", text="A") as other:
        for one, reply in zip((server, other), replies, strict=True):
            one.answer = openai_answer if reply is None else answering(reply)
        study = study_over(tmp_path, {"f16": server, "q4": other})
        plan = quantrial.plan(study, probe=True)
        (check,) = [one for one in plan.assay if one.id == "sampling"]
        assert (check.status, said in check.text) == (status, True)
        quantrial.run(study, out=tmp_path / "run")
    sessions = RunFolder(tmp_path / "run").read_manifest().sessions
    assert set(sessions[0]["sampling"]) == {"f16", "q4"}
    summary = quantrial.analyze(tmp_path / "run")
    assert checks(summary["assay"])["sampling"] == (status, check.text)
    cautions = [one["text"] for one in quantrial.decide(tmp_path / "run")["cautions"]]
    assert any(said in text for text in cautions) is (status in ("warn", "fail"))
    if replies == (repeats, never):  # once is enough
        quantrial.report(tmp_path / "run")
        assert quantrial.verify(tmp_path / "run").ok


def test_a_probe_that_once_showed_a_penalty_is_not_forgotten() -> None:
    from quantrial.record_checks import sampling_finding, with_probes

    seen, none = Finding("seen", "it departs"), Finding("none", "it repeats")
    sessions = [
        {"sampling": {"q4": {"penalty": one.penalty, "text": one.text}}} for one in (seen, none)
    ]
    arms = {"f16": ArmRecord(), "q4": ArmRecord(sampling={"unstated": ["top_k"]})}
    for order in (sessions, sessions[::-1]):
        found = sampling_finding(with_probes(arms, [{}, *order, {"sampling": None}]))
        assert found is not None
        assert found[0] == "fail"
        assert "of q4 and not in those of f16: it departs" in found[1]
    assert sampling_finding({"f16": ArmRecord(), "q4": ArmRecord()}) is None


def test_an_arm_over_the_v1_of_ollama_is_not_compared_with_one_over_its_own_in_silence(
    tmp_path: Path, wordy: Callable[..., Model]
) -> None:
    with OllamaServer({"m:latest": wordy(), "n:latest": wordy()}) as ollama:
        arms = {
            "f16": {"engine": "ollama", "model": "m", "options": {"host": ollama.address}},
            "q4": {
                "engine": "openai",
                "model": "n:latest",
                "options": {"base_url": f"{ollama.address}/v1"},
            },
        }
        plan = quantrial.plan(write_study(tmp_path, arms=arms))
    (check,) = [one for one in plan.assay if one.id == "sampling"]
    assert check.status == "fail"
    assert "of q4 and not in those of f16: Ollama" in check.text
    assert "the engine ollama asks the same model" in check.text
