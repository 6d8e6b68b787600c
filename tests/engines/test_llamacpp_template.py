"""What the embedded engine shows: the template applied without the weights, and the day held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from engines.chat_templates import (
    DEEPSEEK_R1,
    FIXED,
    GRANITE,
    LFM_2,
    LLAMA_31,
    LLAMA_32,
    QWEN_3,
    REFUSES,
    SMOLLM_3,
)
from quantrial.engines import Message, Request
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.templates import Rendered, holds_day, rendered
from quantrial.errors import EngineError, StudyError
from quantrial.thought_tags import opening_tag_at_end
from repetitions import repetitions

CHAT = Request(messages=(Message("user", "What is seven?"),), max_tokens=1)
WITH_SYSTEM = Request(messages=(Message("system", "Count."), *CHAT.messages), max_tokens=1)
TODAY = datetime.now(UTC).astimezone().date()

pytestmark = pytest.mark.model


@pytest.fixture
def engine_of(with_template: Callable[..., Path]) -> Iterator[Callable[..., LlamaCppEngine]]:
    """Make engines on tiny models with a template; all are closed at the end."""
    engines: list[LlamaCppEngine] = []

    def make(template: str | None, **options: Any) -> LlamaCppEngine:
        said = {"threads": 1, "context": 512, **options}
        engines.append(LlamaCppEngine(str(with_template(template)), said))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def shown(engine: LlamaCppEngine, request: Request = CHAT) -> str:
    (text,) = engine.render([request])
    return text


def read(engine: LlamaCppEngine, request: Request = CHAT) -> tuple[str, int | None]:
    """Return what the worker that answers makes of a request, and how many tokens it read."""
    reply = engine.ask(request)
    client = engine._running()[0].client
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    said = client.post("/apply-template", json={"messages": messages}, timeout=30).json()
    return str(said["prompt"]), reply.prompt_tokens


@pytest.mark.parametrize(
    "template",
    [None, LLAMA_31, GRANITE, FIXED, DEEPSEEK_R1, *repetitions(LLAMA_32, SMOLLM_3, LFM_2, QWEN_3)],
)
def test_what_is_shown_without_the_weights_is_what_the_worker_reads(
    engine_of: Callable[..., LlamaCppEngine], template: str | None
) -> None:
    engine = engine_of(template)
    text = shown(engine)
    assert engine.pid is None, "nothing was loaded for it"
    applied, tokens = read(engine)
    assert text == applied
    client = engine._running()[0].client
    body = {"content": text, "add_special": False, "parse_special": True}
    assert len(client.post("/tokenize", json=body, timeout=30).json()["tokens"]) == tokens


@pytest.mark.parametrize(
    ("template", "by", "written"),
    [
        (LLAMA_31, ["date_string"], "26 Jul 2024"),
        (LLAMA_32, ["date_string", "strftime_now"], "26 Jul 2024"),
        (GRANITE, ["strftime_now"], "July 26, 2024"),
        (SMOLLM_3, ["strftime_now"], "Friday, 26 July 2024"),
    ],
)
def test_a_date_is_held_to_one_day(
    engine_of: Callable[..., LlamaCppEngine], template: str, by: list[str], written: str
) -> None:
    engine = engine_of(template)
    text = shown(engine)
    assert written in text
    assert not holds_day(text, TODAY)
    artifact = engine.describe()
    assert artifact.template_date == {"by": by, "held": "2024-07-26"}
    assert "date" not in artifact.options, "arms that say nothing are as they were"
    assert artifact.template_default is None


def test_the_day_is_the_studys_where_it_says_one(
    engine_of: Callable[..., LlamaCppEngine],
) -> None:
    engine = engine_of(GRANITE, date="2025-03-09")
    assert "March 09, 2025" in shown(engine)
    assert read(engine)[0] == shown(engine)
    assert (engine.describe().template_date or {})["held"] == "2025-03-09"
    assert engine.describe().options["date"] == "2025-03-09"
    assert engine_of(GRANITE, date=date(2025, 3, 9)).describe().options["date"] == "2025-03-09"
    with pytest.raises(StudyError, match=r"arm\.options\.date: expected a day such as"):
        LlamaCppEngine("m.gguf", {"date": "yesterday"})


@pytest.mark.parametrize(("template", "request_"), [(GRANITE, WITH_SYSTEM), (LFM_2, CHAT)])
def test_a_day_that_these_prompts_do_not_show_is_told_from_one_that_they_do(
    engine_of: Callable[..., LlamaCppEngine], own_cache: Path, template: str, request_: Request
) -> None:
    engine = engine_of(template)
    found = rendered(engine, request_, held="2024-07-26")
    assert found is not None
    assert found.day_written is False
    written = rendered(engine_of(GRANITE), CHAT, held="2024-07-26")
    assert written is not None
    assert written.day_written is True


@pytest.mark.parametrize("template", [FIXED, QWEN_3, DEEPSEEK_R1, None])
def test_templates_without_the_days_date_are_used_as_they_are(
    engine_of: Callable[..., LlamaCppEngine], template: str | None
) -> None:
    artifact = engine_of(template).describe()
    assert artifact.template_date == {}
    assert artifact.template_default == (None if template else "chatml")


def test_a_file_without_a_template_is_asked_in_chatml(
    engine_of: Callable[..., LlamaCppEngine],
) -> None:
    expected = "<|im_start|>user\nWhat is seven?<|im_end|>\n<|im_start|>assistant\n"
    assert shown(engine_of(None)) == expected


def test_a_thought_that_the_template_opens_is_seen(
    engine_of: Callable[..., LlamaCppEngine], own_cache: Path
) -> None:
    found = rendered(engine_of(DEEPSEEK_R1), CHAT, held=None)
    assert found is not None
    assert found.ending == "<|Assistant|><think>\n", "what stands behind the last message"
    assert opening_tag_at_end(found.ending) == "<think>"
    none = rendered(engine_of(GRANITE), CHAT, held="2024-07-26")
    assert none is not None
    assert opening_tag_at_end(none.ending) is None


def test_a_text_is_shown_as_it_is_and_several_at_once(
    engine_of: Callable[..., LlamaCppEngine],
) -> None:
    engine = engine_of(GRANITE)
    texts = engine.render([Request(text="Once <|im_start|>"), CHAT, WITH_SYSTEM])
    assert texts[0] == "Once <|im_start|>"
    assert "What is seven?" in texts[1] != texts[2]


def test_a_template_that_refuses_the_messages_says_so(
    engine_of: Callable[..., LlamaCppEngine],
) -> None:
    engine = engine_of(REFUSES)
    assert shown(engine) == "user: What is seven?\n"
    with pytest.raises(EngineError, match="roles must alternate"):
        shown(engine, Request(messages=WITH_SYSTEM.messages * 2))
    with pytest.raises(EngineError, match=r"llama\.cpp"):
        shown(engine_of("{% for m in messages %{{ m }}"))


def test_what_is_remembered_is_no_text_and_asks_nobody_again(
    engine_of: Callable[..., LlamaCppEngine], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(GRANITE)
    first = rendered(engine, CHAT, held="2024-07-26")
    (record,) = (own_cache / "templates").iterdir()
    assert b"seven" not in record.read_bytes(), "what is asked is the user's"
    monkeypatch.setattr(LlamaCppEngine, "render", lambda *_: pytest.fail("asked again"))
    assert rendered(engine, CHAT, held="2024-07-26") == first
    assert isinstance(first, Rendered)
    keys = {
        one.render_key(request)
        for one in (engine, engine_of(GRANITE, date="2025-03-09"), engine_of(LLAMA_31))
        for request in (CHAT, WITH_SYSTEM)
    }
    assert len(keys) == 6, "another day, template or message is another key"
