"""Tools that a chat may call: how each engine passes them on, and who says that it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.made_openai import made
from quantrial.engines import Message, Request, make_engine
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.llamacpp_process import _name
from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.ollama_answer import Heard
from quantrial.engines.openai_wire import SERVERS, Dialect, call_of
from quantrial.engines.scripted import ScriptedEngine
from quantrial.engines.templates import shows_tools
from quantrial.errors import EngineError, StudyError
from quantrial.running.asking import answer, prompt_hash
from quantrial.study import Arm
from quantrial.tasks import Prompt
from servers.faulty import Answer, Call, Say, faulty_server, openai_answer

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
MESSAGES = (Message("user", "Is it raining in Riga?"),)
PLAIN = Request(messages=MESSAGES, max_tokens=8)
ASKED = Request(messages=MESSAGES, max_tokens=8, tools=(WEATHER,))
# as Qwen's and Hermes's templates list them, in front of the conversation
HERMES = """{%- if tools %}<tools>{%- for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
{% endif %}{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
BARE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>\n{% endfor %}"


def test_a_prompt_without_tools_is_hashed_as_ever() -> None:
    said = Prompt(messages=(("user", "Hi"),)).canonical()
    assert sorted(said) == ["grammar", "max_tokens", "messages", "stop", "text"]
    with_tools = Prompt(messages=(("user", "Hi"),), tools=(WEATHER,))
    assert with_tools.canonical() == {**said, "tools": (WEATHER,)}
    assert prompt_hash(Prompt(messages=(("user", "Hi"),)), PLAIN) != prompt_hash(with_tools, ASKED)


def test_a_text_has_no_tools() -> None:
    with pytest.raises(ValueError, match="tools beside messages"):
        Request(text="Hi", tools=(WEATHER,))


@pytest.mark.parametrize("server", SERVERS)
def test_openai_compatible_servers_get_them_beside_the_messages(server: str) -> None:
    assert "tools" in SERVERS[server]
    path, body = call_of(ASKED, Dialect("m", server))
    assert (path, body["tools"]) == ("/chat/completions", [WEATHER])
    assert body == {**call_of(PLAIN, Dialect("m", server))[1], "tools": [WEATHER]}


def test_ollama_gets_them_beside_the_messages() -> None:
    engine = OllamaEngine("m", {"host": "http://127.0.0.1:9"})
    path, body = engine._call(ASKED)
    assert (path, body["tools"]) == ("/api/chat", [WEATHER])
    assert body == {**engine._call(PLAIN)[1], "tools": [WEATHER]}
    assert "tools" in engine.abilities


def test_calls_of_ollama_come_whole_in_pieces_of_a_stream() -> None:
    """As its API documents them: arguments are an object, and the text may be empty."""
    heard = Heard(began=0.0)
    for town in ("Riga", "Oslo"):
        call = {"function": {"name": "get_weather", "arguments": {"town": town}}}
        said = {"role": "assistant", "content": "", "tool_calls": [call]}
        heard.take({"model": "m", "message": said, "done": False}, where="Ollama")
    assert heard.first is not None, "a call is the first thing that comes"
    last = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}
    heard.take({**last, "done_reason": "stop"}, where="Ollama")
    calls = heard.message.tool_calls or ()
    assert [one["function"]["arguments"]["town"] for one in calls] == ["Riga", "Oslo"]
    assert (heard.whole, heard.reason, heard.message.text) == (True, "stop", "")


@pytest.mark.parametrize(("says", "able"), [(True, True), (False, False), (None, True)])
def test_a_llama_server_whose_template_shows_none_cannot(says: bool | None, able: bool) -> None:
    props: dict[str, Any] = {"chat_template": HERMES}
    if says is not None:
        props["chat_template_caps"] = {"supports_tools": says}

    def told(call: Call, say: Say) -> Answer:
        if not call.path.endswith("/props"):
            return openai_answer(call, say)
        return Answer("application/json", (json.dumps(props).encode(),))

    with faulty_server(model="m", answer=told) as server:
        engine = made("m", {"base_url": server.url, "server": "llama.cpp"})
        engine.describe()
        assert ("tools" in engine.abilities) is able


@pytest.mark.parametrize(
    ("template", "shows"),
    [
        (HERMES, True),
        (BARE, False),
        ("{# no tools here #}" + BARE, False),
        ("{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools }}", True),
        ("{% generation %}{{ tools | tojson }}", True),  # a tag that one server knows
        ('{% generation %}{{ "tools" }}', False),
    ],
)
def test_a_template_shows_tools_where_it_reads_them(template: str, shows: bool) -> None:
    assert shows_tools(template) is shows


@pytest.mark.model
def test_the_embedded_engine_shows_them_by_the_template_and_keeps_the_text_raw(
    with_template: Callable[..., Path],
) -> None:
    engine = LlamaCppEngine(str(with_template(HERMES)), {"threads": 1, "context": 512})
    try:
        shown, plain = engine.render([ASKED, PLAIN])
        assert shown.startswith('<tools>{"type": "function", "function": {"name": "get_weather"')
        assert shown.endswith(plain)
        assert engine.render_key(ASKED) != engine.render_key(PLAIN)
        asked, bare = engine.ask(ASKED), engine.ask(PLAIN)
        assert (asked.prompt_tokens or 0) > (bare.prompt_tokens or 0) + 20
        assert asked.tool_calls is None, "what the model wrote stays in its text"
        assert engine.ask(Request(messages=MESSAGES * 2, shared=1, tools=(WEATHER,))).output
    finally:
        engine.close()
    assert "tools" in engine.abilities


@pytest.mark.model
def test_a_model_file_whose_template_shows_none_is_refused_before_it_is_loaded(
    with_template: Callable[..., Path],
) -> None:
    engine = LlamaCppEngine(str(with_template(BARE)), {"threads": 1, "context": 512})
    with pytest.raises(EngineError, match="cannot show a model the tools") as caught:
        engine.ask(ASKED)
    assert not caught.value.retryable
    assert engine.pid is None
    assert "tools" not in engine.abilities


def test_what_was_read_is_kept_apart_for_other_tools() -> None:
    shared = Request(messages=MESSAGES * 2, shared=1)
    other = Request(messages=MESSAGES * 2, shared=1, tools=(WEATHER,))
    assert _name(shared) != _name(other)


def test_a_script_calls_tools_as_openais_servers_do() -> None:
    call = {"name": "get_weather", "arguments": {"town": "Riga"}}
    options = {"replies": [{"tool_calls": [call]}]}
    arm = Arm(engine="scripted", model="m", options=options)
    engine = make_engine("a", arm, base=Path("/"), seed=0)
    reply = answer(engine, ASKED)
    assert (reply.output, reply.finish_reason, reply.doubts) == ("", "tool_calls", ())
    function = {"name": "get_weather", "arguments": '{"town":"Riga"}'}
    assert reply.tool_calls == ({"id": "call_0", "type": "function", "function": function},)
    both = ScriptedEngine(lambda _: {"text": "Let me look.", "tool_calls": [call]})
    said = both.ask(ASKED)
    assert (said.output, len(said.tool_calls or ())) == ("Let me look.", 1)
    assert ScriptedEngine(["no"]).ask(ASKED).tool_calls is None


@pytest.mark.parametrize(
    "reply", [{}, {"calls": []}, {"tool_calls": {}}, {"tool_calls": [{}]}, {"text": 1}, 3]
)
def test_a_script_of_another_form_is_refused(reply: Any) -> None:
    arm = Arm(engine="scripted", model="m", options={"replies": [reply]})
    with pytest.raises(StudyError, match="expected a list of texts, or of mappings"):
        make_engine("a", arm, base=Path("/"), seed=0)
