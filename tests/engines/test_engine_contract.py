"""What every engine does, whichever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import quantrial.engines
from quantrial.engines import Engine, Message, Request, make_engine
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.scripted import Script, ScriptedEngine
from quantrial.errors import EngineError, EngineTimeoutError, StudyError
from quantrial.study import Arm

PARIS = "Question: What is the capital of France?\nAnswer:"
PROMPTS = (PARIS, "Once upon a time", "1, 2, 3, 4,", "The sea is " * 15)


def _scripted() -> Engine:
    return ScriptedEngine(script=Script(load=0.001, delay=0.01))


# Every engine: a function that makes it, or the fixture that does. A new one is one line here.
ENGINES: dict[str, Callable[[], Engine] | str] = {
    "scripted": _scripted,
    "llamacpp": "llamacpp",
    "openai": "openai_engine",
    "ollama": "ollama_engine",
    "command": "command_engine",  # the third party's of examples/engine-command
}
# those whose server was loaded by someone else, and does not say how long that took
LOADED_ELSEWHERE = {"openai"}
# those that cannot say how long prompt and answer took
UNTIMED = {"command"}
WITHOUT_MODEL = {"scripted", "command"}  # the others run the demo model
_PARAMS = [
    name if name in WITHOUT_MODEL else pytest.param(name, marks=pytest.mark.model)
    for name in ENGINES
]


@pytest.fixture(params=_PARAMS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """An engine that may have been started, as a study's mostly is."""
    maker = ENGINES[request.param]
    made: Engine = request.getfixturevalue(maker) if isinstance(maker, str) else maker()
    return made


@pytest.fixture
def closed_engine(engine: Engine) -> Iterator[Engine]:
    """One that is not started."""
    engine.close()
    yield engine
    engine.close()


def needs(engine: Engine, *abilities: str) -> None:
    missing = set(abilities) - engine.abilities
    if missing:
        pytest.skip(f"{engine.name} says that it has no {', '.join(sorted(missing))}")


def test_describe_comes_before_start_and_loads_nothing(closed_engine: Engine) -> None:
    assert closed_engine.describe() == closed_engine.describe()
    assert (closed_engine.start() > 0) == (closed_engine.name not in LOADED_ELSEWHERE)


def test_start_is_idempotent(closed_engine: Engine) -> None:
    assert (closed_engine.start() > 0) == (closed_engine.name not in LOADED_ELSEWHERE)
    assert closed_engine.start() == 0.0


def test_ask_starts_by_itself_and_the_first_reply_carries_the_load(closed_engine: Engine) -> None:
    replies = [closed_engine.ask(Request(text=PARIS, max_tokens=2)) for _ in range(2)]
    loads = [reply.timing.load for reply in replies]
    if closed_engine.name in LOADED_ELSEWHERE:
        assert loads == [None, None]
        return
    assert loads[0] is not None
    assert loads[0] > 0
    assert not loads[1]


def test_it_answers_again_after_close(engine: Engine) -> None:
    first = engine.ask(Request(text=PARIS, max_tokens=4))
    engine.close()
    engine.close()
    second = engine.ask(Request(text=PARIS, max_tokens=4))
    assert second.output == first.output
    assert (second.timing.load is None) == (engine.name in LOADED_ELSEWHERE)


def test_an_answer_depends_on_its_request_alone(engine: Engine) -> None:
    def ask(prompt: str) -> str:
        return engine.ask(Request(text=prompt, max_tokens=8, seed=1)).output

    forwards = {prompt: ask(prompt) for prompt in PROMPTS}
    backwards = {prompt: ask(prompt) for prompt in reversed(PROMPTS)}
    engine.close()
    restarted = {prompt: ask(prompt) for prompt in PROMPTS[1:] + PROMPTS[:1]}
    assert forwards == backwards == restarted


def test_messages_and_text_are_answered_with_counts_and_times(engine: Engine) -> None:
    chat = (Message("system", "Be brief."), Message("user", "Say hello."))
    for request in (Request(messages=chat, max_tokens=3), Request(text="Hello,", max_tokens=3)):
        reply = engine.ask(request)
        assert reply.output
        assert reply.prompt_tokens
        assert reply.completion_tokens in (1, 2, 3)
        assert reply.finish_reason in ("stop", "length")
        timing = reply.timing
        assert timing.wall is not None
        if engine.name in UNTIMED:
            assert (timing.prompt, timing.decode) == (None, None)
            continue
        assert timing.prompt is not None
        assert timing.decode is not None
        assert 0 < timing.prompt + timing.decode <= timing.wall * 1.001 + 1e-3
        if timing.first_token is not None:
            assert 0 < timing.first_token <= timing.wall


def test_a_grammar_holds_the_answer_where_the_engine_constrains(engine: Engine) -> None:
    needs(engine, "grammar")
    grammar = r'root ::= " Paris" | " \"Rome\"" | " Wagga Wagga"'
    reply = engine.ask(Request(text=PARIS, grammar=grammar, max_tokens=12))
    assert reply.output in (" Paris", ' "Rome"', " Wagga Wagga")
    assert reply.finish_reason == "stop"


def test_a_schema_holds_the_answer_where_the_engine_can(engine: Engine) -> None:
    needs(engine, "schema")
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    chat = (Message("user", "What is the capital of France?"),)
    for request in (
        Request(messages=chat, schema=schema, max_tokens=60),
        Request(text=PARIS, schema=schema, max_tokens=60),
    ):
        assert json.loads(engine.ask(request).output) in ({"city": "Paris"}, {"city": "Rome"})


def test_probabilities_of_tokens_where_the_engine_has_them(engine: Engine) -> None:
    needs(engine, "logprobs")
    chat = (Message("user", "Say hello."),)
    for request in (
        Request(messages=chat, logprobs=2, max_tokens=3),
        Request(text=PARIS, logprobs=2, max_tokens=3),
    ):
        reply = engine.ask(request)
        assert reply.logprobs is not None
        assert "".join(token["token"] for token in reply.logprobs) == reply.output
        for token in reply.logprobs:
            assert len(token["top"]) == 2
            assert token["top"][0] == [token["token"], token["logprob"]]
            assert token["top"][1][1] <= token["logprob"] <= 0


def test_an_exact_length_is_kept_where_the_engine_can(engine: Engine) -> None:
    needs(engine, "exact_length")
    chat = (Message("user", "What is 2 + 2?"),)
    reply = engine.ask(Request(messages=chat, max_tokens=80, exact_length=True))
    assert (reply.completion_tokens, reply.finish_reason) == (80, "length")


def test_what_an_engine_cannot_do_is_refused_for_good(engine: Engine) -> None:
    asked: dict[str, Any] = {
        "grammar": 'root ::= "a"',
        "schema": {"type": "object"},
        "logprobs": 1,
        "exact_length": True,
        "fresh": True,
        "tools": ({"type": "function", "function": {"name": "f"}},),
    }
    assert engine.abilities <= {*asked, "parallel"}
    chat = (Message("user", "x"),)
    for ability in asked.keys() - engine.abilities:
        with pytest.raises(EngineError, match=f"engine '{engine.name}' cannot") as caught:
            engine.ask(Request(messages=chat, **{ability: asked[ability]}))
        assert not caught.value.retryable


def test_several_threads_each_get_their_own_answer_where_the_engine_is_parallel(
    engine: Engine,
) -> None:
    needs(engine, "parallel")
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(engine.ask, [Request(text=p, max_tokens=4) for p in PROMPTS]))
    alone = [engine.ask(Request(text=p, max_tokens=4)) for p in PROMPTS]
    assert [r.prompt_tokens for r in together] == [r.prompt_tokens for r in alone]
    assert all(r.output for r in together)


def test_stop_texts_end_the_answer_and_are_not_part_of_it(engine: Engine) -> None:
    if "grammar" in engine.abilities:
        grammar = 'root ::= "one END two"'
        reply = engine.ask(Request(text="x", grammar=grammar, stop=("END",), max_tokens=12))
        assert reply.output == "one "
    else:
        whole = engine.ask(Request(text=PARIS, max_tokens=8)).output
        end = whole[len(whole) // 2 :][:3]
        reply = engine.ask(Request(text=PARIS, stop=(end,), max_tokens=8))
        assert reply.output == whole[: whole.index(end)]
    assert reply.finish_reason == "stop"


def test_max_tokens_end_the_answer(engine: Engine) -> None:
    held = 'root ::= "red green blue yellow black white"'
    grammar = held if "grammar" in engine.abilities else None
    reply = engine.ask(Request(text="Once upon a time", grammar=grammar, max_tokens=2))
    assert reply.finish_reason == "length"
    assert reply.completion_tokens == 2


def test_a_call_that_takes_too_long_is_a_timeout_and_the_next_is_answered(engine: Engine) -> None:
    engine.start()
    with pytest.raises(EngineTimeoutError, match=r"within 0\.001 s") as caught:
        engine.ask(Request(text="The sea is " * 40, timeout=0.001))
    assert caught.value.retryable
    assert engine.ask(Request(text=PARIS, max_tokens=2)).output


def test_versions_are_named(engine: Engine) -> None:
    versions = engine.versions()
    assert versions
    assert all(isinstance(v, str) and v for v in versions.values())


@pytest.mark.parametrize("wrong", [{}, {"text": "a", "messages": (Message("user", "a"),)}])
def test_a_request_is_either_messages_or_text(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either messages or text"):
        Request(**wrong)


def test_engines_are_made_by_name(tmp_path: Path) -> None:
    options = {"openai": {"base_url": "http://127.0.0.1:1/v1"}}
    for name in ENGINES.keys() - {"command"}:
        arm = Arm(engine=name, model="m", options=options.get(name, {}))
        engine = make_engine("fp16", arm, base=tmp_path, seed=1)
        assert engine.name == name


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (Arm(engine="lamacpp", model="m"), r"arms\.q4\.engine: .*did you mean 'llamacpp'"),
        (
            Arm(engine="qqq", model="m"),
            r"unknown engine 'qqq'; there is: llamacpp, ollama, openai, scripted",
        ),
        (
            Arm(engine="ollama", model="m", options={"num_ctxt": 1}),
            r"options\.num_ctxt: unknown option; did you mean 'num_ctx'",
        ),
        (
            Arm(engine="ollama", model="m", options={"host": "ftp://x"}),
            r"options\.host: expected host:port or http\(s\)://host:port, got 'ftp://x'",
        ),
        (
            Arm(engine="ollama", model="m", options={"host": "http://me:secret@x:1"}),
            r"options\.host: holds a name or password; set OLLAMA_API_KEY instead",
        ),
        (Arm(engine="ollama", model="m", quantize="F16"), r"q4\.quantize: only the engine 'llama"),
        (Arm(engine="openai", model="m"), r"options\.base_url: missing: .* http://127\.0\.0\.1"),
        (
            Arm(engine="llamacpp", model="m", options={"contxt": 1}),
            r"arms\.q4\.options\.contxt: unknown option; did you mean 'context'",
        ),
        (
            Arm(engine="llamacpp", model="m", options={"context": 2}),
            r"options\.context: should be at least 16, got 2",
        ),
        (
            Arm(engine="llamacpp", model="m", options={"threads": True}),
            r"options\.threads: expected a whole number, got True",
        ),
        (
            Arm(engine="scripted", model="m", options={"qqq": 1}),
            r"options\.qqq: unknown option; options here: replies, delay",
        ),
        (Arm(engine="scripted", model="m", quantize="F16"), r"q4\.quantize: only the engine 'll"),
        (Arm(engine="scripted", model="m", degrade="round_3bit"), r"q4\.degrade: only the engine"),
    ],
)
def test_what_a_study_gets_wrong_is_named(arm: Arm, message: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=message):
        make_engine("q4", arm, base=tmp_path, seed=0)


def test_a_third_party_engine_is_found_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_engine.py").write_text(
        "from quantrial.engines.scripted import ScriptedEngine\n"
        "def make(model, options, *, base, seed):\n"
        "    return ScriptedEngine({'': options['say']}, model=model, seed=seed)\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantrial.engines]\ntheirs = their_engine:make\n")
    monkeypatch.syspath_prepend(tmp_path)
    arm = Arm(engine="theirs", model="m", options={"say": "hello"})
    engine = make_engine("a", arm, base=tmp_path, seed=0)
    assert engine.ask(Request(text="x")).output == "hello"
    with pytest.raises(StudyError, match="did you mean 'theirs'"):
        make_engine("a", Arm(engine="their", model="m"), base=tmp_path, seed=0)


def test_the_door_is_light() -> None:
    slow = (
        "gguf",
        "httpx",
        "ollama",
        "numpy",
        "xllamacpp",
        "pydantic",
        "huggingface_hub",
    )
    code = (
        "import sys, quantrial.engines, quantrial.engines.scripted\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_embedded_engine_keeps_native_code_out_of_this_process() -> None:
    code = "import sys, quantrial.engines.llamacpp; print('xllamacpp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_public_names_are_there() -> None:
    names = quantrial.engines.__all__
    assert names == sorted(names)
    assert all(hasattr(quantrial.engines, name) for name in names)


def test_engines_fit_the_protocol() -> None:
    there = OpenAIEngine("m", {"base_url": "http://127.0.0.1:1/v1"})
    engines: list[Engine] = [ScriptedEngine(), LlamaCppEngine("m"), there, OllamaEngine("m")]
    assert {engine.name for engine in engines} == ENGINES.keys() - {"command"}
