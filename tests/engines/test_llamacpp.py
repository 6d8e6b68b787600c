"""The embedded engine and its real worker: killed, hanging, refused, orphaned, not startable."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from quantrial.engines import Message, Request
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.model_files import resolve
from quantrial.errors import (
    ContextOverflowError,
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
    ModelFileError,
)
from quantrial.system import physical_cores

SHORT = Request(text="Question: What is the capital of France?\nAnswer:", max_tokens=3)
# held to 1,800 letters, so that it is still answering whenever it is disturbed
LONG = Request(text="abc", max_tokens=480, grammar="root ::= [a-z]{1800}", timeout=60)


@pytest.fixture
def engine(new_llamacpp: Callable[..., LlamaCppEngine]) -> Iterator[LlamaCppEngine]:
    made = new_llamacpp()
    yield made
    made.close()


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends in time; one that nobody has reaped yet has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.model
def test_a_worker_killed_in_mid_call_is_a_crash_and_the_next_call_is_answered(
    engine: LlamaCppEngine,
) -> None:
    undisturbed = engine.ask(SHORT).output
    pid = engine.pid
    assert pid is not None
    killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(EngineCrashedError, match=r"died while it answered \(SIGKILL") as caught:
        engine.ask(LONG)
    assert caught.value.retryable
    assert caught.value.__cause__ is not None
    assert engine.pid is None
    reply = engine.ask(SHORT)
    assert reply.output == undisturbed
    assert reply.timing.load is not None
    assert engine.pid != pid


@pytest.mark.model
def test_a_worker_that_aborts_names_its_signal(engine: LlamaCppEngine) -> None:
    engine.start()
    assert engine.pid is not None
    killer = threading.Timer(0.2, os.kill, (engine.pid, signal.SIGABRT))
    killer.start()
    with pytest.raises(EngineCrashedError, match="SIGABRT"):
        engine.ask(LONG)


@pytest.mark.model
def test_a_worker_killed_between_calls_costs_nothing(engine: LlamaCppEngine) -> None:
    engine.start()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    until = time.monotonic() + 5
    while engine.pid is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert engine.ask(SHORT).timing.load is not None


@pytest.mark.model
def test_a_hanging_worker_is_a_timeout_and_is_killed(engine: LlamaCppEngine) -> None:
    engine.start()
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    # a stopped process answers nobody: that this comes to an end at all is the engine's doing
    with pytest.raises(EngineTimeoutError, match=r"no answer within 0\.3 s"):
        engine.ask(Request(text="x", timeout=0.3))
    assert gone(pid)
    assert engine.ask(SHORT).output


@pytest.mark.model
def test_close_ends_a_hanging_worker(engine: LlamaCppEngine) -> None:
    engine.start()
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    engine.close()
    assert gone(pid)


PARENT = """
    import sys, threading, time
    from quantrial.engines.llamacpp import LlamaCppEngine
    engine = LlamaCppEngine(sys.argv[1], {"threads": 1, "context": 64})
    where = sys.argv[2]
    if where == "thread":
        thread = threading.Thread(target=engine.start)
        thread.start()
        thread.join()
        time.sleep(0.2)
    else:
        engine.start()
    print(engine.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.model
@pytest.mark.parametrize(
    ("where", "stopped"),
    [
        ("main", False),
        # a stopped worker cannot watch its stdin: this is the work of the parent-death signal
        pytest.param(
            "main", True, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
        ),
        # and here it is the other way round: the starting thread ended, the program had not
        ("thread", False),
    ],
)
def test_the_worker_dies_with_its_parent(demo: str, where: str, stopped: bool) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PARENT), demo, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid, 0.1)
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        assert gone(pid)


@pytest.mark.model
def test_ctrl_c_is_not_for_the_worker(engine: LlamaCppEngine) -> None:
    engine.start()
    assert engine.pid is not None
    assert os.getpgid(engine.pid) != os.getpgid(0)
    os.kill(engine.pid, signal.SIGINT)
    assert not gone(engine.pid, 0.2)


@pytest.mark.model
def test_only_who_holds_the_token_is_answered(llamacpp: LlamaCppEngine) -> None:
    llamacpp.start()
    assert llamacpp._worker is not None
    with httpx.Client(trust_env=False) as stranger:
        reply = stranger.post(llamacpp._worker.address + "/completion", json={"prompt": "x"})
    assert reply.status_code == 401


@pytest.mark.model
def test_a_prompt_longer_than_the_context_is_an_overflow_with_both_numbers(
    llamacpp: LlamaCppEngine,
) -> None:
    llamacpp.ask(SHORT)
    for request in (
        Request(text="hi " * 600),
        Request(messages=(Message("user", "hi " * 600),)),
    ):
        with pytest.raises(ContextOverflowError, match=r"6\d\d tokens and the context 512") as got:
            llamacpp.ask(request)
        assert not got.value.retryable
    assert llamacpp.ask(SHORT).timing.load is None  # the same worker went on


@pytest.mark.model
def test_an_answer_ends_where_the_context_does(llamacpp: LlamaCppEngine) -> None:
    reply = llamacpp.ask(
        Request(text="hi " * 490, grammar="root ::= [a-z]{1800}", max_tokens=10_000)
    )
    assert reply.finish_reason == "length"
    assert reply.prompt_tokens is not None
    assert reply.completion_tokens is not None
    assert reply.prompt_tokens + reply.completion_tokens <= 513


@pytest.mark.model
@pytest.mark.parametrize("grammar", ["root ::= ((", 'other ::= "a"'])
def test_a_grammar_that_does_not_parse_is_refused_for_good(
    llamacpp: LlamaCppEngine, grammar: str
) -> None:
    with pytest.raises(EngineError, match="grammar") as caught:
        llamacpp.ask(Request(text="x", grammar=grammar))
    assert not caught.value.retryable
    assert "\n" not in str(caught.value)


@pytest.mark.model
def test_the_output_is_raw(llamacpp: LlamaCppEngine) -> None:
    grammar = 'root ::= "<think>no</think> yes"'
    chat = (Message("user", "Say yes."),)
    for request in (
        Request(text="x", grammar=grammar, max_tokens=40),
        Request(messages=chat, grammar=grammar, max_tokens=40),
    ):
        assert llamacpp.ask(request).output == "<think>no</think> yes"


@pytest.mark.model
def test_a_prompt_that_is_not_text_is_refused(llamacpp: LlamaCppEngine) -> None:
    with pytest.raises(EngineError, match="not valid text") as caught:
        llamacpp.ask(Request(text="\ud800"))
    assert not caught.value.retryable


@pytest.mark.model
def test_seeds_of_any_size_are_taken_and_repeat(llamacpp: LlamaCppEngine) -> None:
    # 2**32 - 1 means "any seed" to llama.cpp, and must not get there
    for seed in (2**32 - 1, 2**63 - 1):
        request = Request(text="Once upon a", max_tokens=6, temperature=1.5, seed=seed)
        assert llamacpp.ask(request).output == llamacpp.ask(request).output


@pytest.mark.model
def test_special_tokens_in_a_text_are_read_as_such(llamacpp: LlamaCppEngine) -> None:
    reply = llamacpp.ask(Request(text="<|im_start|>user", max_tokens=1))
    assert reply.prompt_tokens == 2  # and no token stands in front


@pytest.mark.model
def test_the_artifact_names_its_source(demo: str, shared_cache: Path) -> None:
    made = LlamaCppEngine(demo, {"threads": 1, "context": 512}, quantize="Q4_0").describe()
    source = LlamaCppEngine(demo).describe()
    assert (made.model, made.derived_from) == (demo, demo)
    assert (made.quantization, made.source_quantization) == ("Q4_0", "Q4_1")
    assert made.source_sha256 == source.sha256 != made.sha256
    assert made.tokenizer_sha256 == source.tokenizer_sha256
    assert made.template_sha256 == source.template_sha256
    assert made.parameters == source.parameters == 134_515_008
    assert (made.context, made.options["threads"]) == (512, 1)
    assert (source.context, source.derived_from, source.quantization) == (2048, None, "Q4_1")


def test_a_file_that_llama_cpp_cannot_load_is_a_start_error(
    tmp_path: Path, write_gguf: Callable[..., Path]
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", {"a": np.zeros((2, 32), np.float32)})
    engine = LlamaCppEngine("tiny.gguf", base=tmp_path)
    with pytest.raises(EngineStartError, match=r"tiny\.gguf cannot be loaded") as caught:
        engine.start()
    assert "failed to load model" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine.pid is None
    path.unlink()
    with pytest.raises(ModelFileError, match="no such model file"):
        engine.start()
    with pytest.raises(EngineStartError, match="no such model file"):
        engine.ask(SHORT)


@pytest.mark.model
def test_a_file_replaced_under_an_engine_is_not_loaded_again(demo: str, tmp_path: Path) -> None:
    copy = tmp_path / "m.gguf"
    copy.write_bytes(resolve(demo, tmp_path).read_bytes())
    engine = LlamaCppEngine("m.gguf", {"threads": 1, "context": 64}, base=tmp_path)
    engine.start()
    engine.close()
    assert engine.start() > 0
    engine.close()
    os.utime(copy, (1, 1))
    with pytest.raises(ModelChangedError, match="has changed since"):
        engine.start()


def test_threads_follow_the_machine_unless_said() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
    assert LlamaCppEngine("m", {"threads": None})._options["threads"] == physical_cores()


@pytest.mark.model
def test_several_threads_share_the_slots(new_llamacpp: Callable[..., LlamaCppEngine]) -> None:
    engine = new_llamacpp(slots=2, context=256)
    outputs: list[str] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(engine.ask(SHORT).output)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outputs) == 2
    with pytest.raises(ContextOverflowError, match="context 256"):  # each slot has it whole
        engine.ask(Request(text="hi " * 300))
    with contextlib.suppress(EngineError):
        engine.close()
