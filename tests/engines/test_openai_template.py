"""What a real llama-server shows: its template applied, the day that it can be told, and cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engines.chat_templates import DEEPSEEK_R1, GRANITE, LLAMA_31, LLAMA_32, REFUSES
from engines.made_openai import made
from quantrial.engines import Message, Request
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.templates import holds_day, render
from quantrial.errors import EngineError
from servers.faulty import faulty_server
from servers.llama_server import llama_server

CHAT = Request(messages=(Message("user", "What is seven?"),), max_tokens=1)
TODAY = datetime.now(UTC).astimezone().date()
KEY = "sk-test-0123456789"


@pytest.fixture
def served(
    with_template: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., OpenAIEngine]]:
    """Have a llama-server show a template, and make an engine that asks it."""
    import contextlib

    monkeypatch.setenv("QUANTRIAL_TEST_KEY", KEY)
    with contextlib.ExitStack() as stack:

        def serve(template: str | None, **options: Any) -> OpenAIEngine:
            path = with_template(template)
            server = stack.enter_context(llama_server(path, name="tiny", key=KEY))
            said = {"base_url": server.url, "server": "llama.cpp", "stream": False}
            engine = OpenAIEngine("tiny", {**said, "api_key_env": "QUANTRIAL_TEST_KEY", **options})
            stack.callback(engine.close)
            return engine

        yield serve


def shown(engine: OpenAIEngine, request: Request = CHAT) -> str:
    texts = engine.render([request])
    assert texts is not None
    return texts[0]


@pytest.mark.model
@pytest.mark.parametrize("template", [LLAMA_31, LLAMA_32])
def test_a_day_that_a_request_can_tell_is_held(
    served: Callable[..., OpenAIEngine], template: str
) -> None:
    engine = served(template)
    dated = engine.describe().template_date or {}
    assert dated["held"] == "2024-07-26"
    text = shown(engine)
    assert "Today Date: 26 Jul 2024" in text
    assert not holds_day(text, TODAY)
    # what answers reads the same: as many tokens, and fewer with a shorter day
    tokens = engine.ask(CHAT).prompt_tokens
    assert tokens is not None
    own = engine_of(engine, extra_body={"chat_template_kwargs": {"date_string": "x"}})
    assert "Today Date: x" in shown(own)
    assert (own.ask(CHAT).prompt_tokens or 0) < tokens
    assert (own.describe().template_date or {})["held"] == "x", "the study's own words go first"
    own.close()


def engine_of(other: OpenAIEngine, **options: Any) -> OpenAIEngine:
    """Make an engine that asks the server of another one."""
    url = other._replicas[0].server.address
    said = {"base_url": url, "server": "llama.cpp", "stream": False}
    return OpenAIEngine("tiny", {**said, "api_key_env": "QUANTRIAL_TEST_KEY", **options})


@pytest.mark.model
def test_a_day_that_no_request_can_tell_is_said_to_change(
    served: Callable[..., OpenAIEngine],
) -> None:
    engine = served(GRANITE)
    assert engine.describe().template_date == {"by": ["strftime_now"], "held": None}
    assert holds_day(shown(engine), TODAY)


@pytest.mark.model
def test_templates_without_a_day_get_no_further_key(served: Callable[..., OpenAIEngine]) -> None:
    engine = served(DEEPSEEK_R1)
    assert engine.describe().template_date == {}
    assert shown(engine).endswith("<think>\n")
    with pytest.raises(EngineError, match="raise_exception"):
        shown(served(REFUSES), Request(messages=CHAT.messages * 3))


@pytest.mark.model
def test_the_embedded_engine_and_the_server_show_the_same(
    served: Callable[..., OpenAIEngine], with_template: Callable[..., Path]
) -> None:
    from quantrial.engines.llamacpp import LlamaCppEngine

    for template in (LLAMA_31, None):
        embedded = LlamaCppEngine(str(with_template(template)), {"threads": 1, "context": 512})
        engine = served(template)
        assert embedded.render([CHAT]) == [shown(engine)]
        # the server's file lies on this machine: it is read whether it holds a template
        assert engine.describe().template_default == (None if template else "chatml")


def test_another_server_does_not_say() -> None:
    with faulty_server(model="m") as server:
        engine = made("m", {"base_url": server.url})
        assert engine.render([CHAT]) is None
        assert engine.describe().template_date is None
        assert render(engine, [Request(text="as it is")]) == ["as it is"]
        body = server.calls[-1].body if server.calls else {}
        assert "chat_template_kwargs" not in body
        # one that says of itself that it is llama.cpp, and cannot apply a template
        old = made("m", {"base_url": server.url, "server": "llama.cpp"})
        with pytest.raises(EngineError):
            old.render([CHAT])
