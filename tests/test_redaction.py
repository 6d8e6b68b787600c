"""Keys are blotted out of texts in whatever shape they come, and nothing else is."""

from __future__ import annotations

import base64
import gc
import html
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial import redaction
from quantrial.redaction import LEAST, MASK, Redactor

KEY = "sk-Ab/12+34=xY'z\"9&<q"


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.hide(KEY)
    return made


@pytest.mark.parametrize(
    "shape",
    [
        KEY,
        KEY.upper(),
        KEY.lower(),
        quote(KEY),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        json.dumps(KEY)[1:-1],
        repr(KEY)[1:-1],
        html.escape(KEY),
        KEY.replace("/", "\\/"),
        "".join(c if c.isalnum() else f"\\u{ord(c):04X}" for c in KEY),
        *(base64.b64encode(b"x" * n + KEY.encode() + b"yy").decode() for n in range(6)),
        *(base64.urlsafe_b64encode(b"x" * n + KEY.encode()).decode() for n in range(3)),
        KEY[:8],
        KEY[5:13],
        KEY[-8:],
        f"{KEY}{KEY}",
        f"{KEY[:9]} {KEY[9:]}",
    ],
)
def test_a_key_is_blotted_in_every_shape(redactor: Redactor, shape: str) -> None:
    blotted = redactor.blot(f"before {shape} after")
    assert blotted.startswith("before ")
    assert blotted.endswith(" after")
    assert MASK in blotted
    for at in range(len(shape) - LEAST + 1):
        part = shape[at : at + LEAST]
        assert part not in blotted or "xxxx" in shape, part


@given(st.text(min_size=8, max_size=60), st.data())
def test_property_no_eight_characters_of_any_key_get_through(key: str, data: st.DataObject) -> None:
    redactor = Redactor()
    redactor.hide(key)
    start = data.draw(st.integers(0, len(key) - 8))
    end = data.draw(st.integers(start + 8, len(key)))
    around = st.text(max_size=20)
    text = data.draw(around) + key[start:end] + data.draw(around)
    blotted = redactor.blot(text)
    if redaction.is_secret(key):
        assert not [at for at in range(len(key) - 7) if key[at : at + 8] in blotted]
        assert redactor.blot(blotted) == blotted
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    joined = "".join(redactor.blot_parts(pieces))
    assert not redaction.is_secret(key) or key[start:end] not in joined


@given(st.text(max_size=200))
def test_property_a_text_without_a_key_stays_as_it_is(text: str) -> None:
    redactor = Redactor()
    assert redactor.blot(text) == text
    redactor.hide("qZ7-vT4_pL9.mX2")
    assert redactor.blot(text) == text
    assert redactor.blot_all({text: [text, 1, None, (text,)]}) == {text: [text, 1, None, (text,)]}


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("", False),
        ("a", False),
        ("1234567", False),
        ("12345678", True),
        ("EMPTY", False),
        ("no-key-required", False),
        ("sk-no-key-required", False),
        ("Not-Needed", False),
        ("lm-studio", False),
        ("localhost-key", True),
    ],
)
def test_a_short_key_and_a_stand_in_for_one_are_let_be(key: str, hidden: bool) -> None:
    redactor = Redactor()
    redactor.hide(key)
    text = f"the {key} is required"
    assert (redactor.blot(text) != text) is hidden


def test_what_a_study_says_itself_stays_but_never_a_whole_key() -> None:
    redactor = Redactor()
    redactor.hide("localhost-key-77")
    said = "localhost answers, and LOCALHOST-KEY too"
    assert redactor.blot(said) == "*** answers, and *** too"
    with redactor.public(["http://localhost:80"]):
        # the words as the study writes them, and no others
        assert redactor.blot(said) == "localhost answers, and *** too"
        assert redactor.blot("localhost-key-77") == "lo***"
    with redactor.public(["see localhost-key-77"]):
        assert redactor.blot("localhost") == MASK
    assert redactor.blot("localhost") == MASK


def test_values_errors_and_logs_are_blotted_throughout(
    redactor: Redactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deep: Any = {KEY: [{"a": (KEY, 1)}, None, f"so {KEY[:12]}"]}
    assert redactor.blot_all(deep) == {MASK: [{"a": (MASK, 1)}, None, f"so {MASK}"]}
    endless: list[Any] = []
    endless.append(endless)
    assert MASK in str(redactor.blot_all(endless))
    inner = UnicodeDecodeError("utf-8", b"a" + KEY.encode() + b"\xff", 22, 23, KEY)
    outer = ValueError(f"no {KEY}", {"k": KEY})
    outer.__cause__ = inner
    outer.__context__ = OSError(2, KEY, KEY)
    outer.add_note(KEY)
    redactor.blot_error(outer)
    links = (outer, inner, outer.__context__)
    for link in links:
        assert "sk-Ab" not in f"{link} {link!r} {vars(link)} {getattr(link, 'object', '')!r}"
    monkeypatch.setattr(redaction, "blot", redactor.blot)
    monkeypatch.setattr(redaction, "blot_error", redactor.blot_error)
    monkeypatch.setattr(redaction, "knows_any", redactor.knows_any)
    redaction.guard_logs("some.transport")
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("some.transport")
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("headers %s", {"Authorization": f"Bearer {KEY}"})
    assert "sk-Ab" not in caplog.text
    assert MASK in caplog.text


def test_a_key_is_hidden_as_long_as_what_uses_it_is_there() -> None:
    class Owner:
        pass

    redactor, one, other = Redactor(), Owner(), Owner()
    redactor.hide(KEY, owner=one)
    redactor.hide(KEY, owner=other)
    del one
    gc.collect()
    assert redactor.blot(KEY) == MASK
    del other
    gc.collect()
    assert redactor.blot(KEY) == KEY
    assert not redactor.knows_any()


@pytest.fixture
def hidden() -> Iterator[None]:
    owner = type("Owner", (), {})()
    redaction.hide(KEY, owner=owner)
    yield
    del owner
    gc.collect()


@pytest.mark.usefixtures("hidden")
def test_a_text_is_blotted_before_it_is_cut() -> None:
    for at in range(30):
        shown = redaction.excerpt("x" * at + KEY + "y" * 30, 24)
        assert len(shown) <= 25
        assert "k-Ab/12" not in shown


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("model=m,api_key=abc123,base_url=u", "model=m,api_key=***,base_url=u"),
        ('{"api-key": "abc", "n": 1}', '{"api-key": "***", "n": 1}'),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        ("Basic dXNlcjpwYXNz", "Basic ***"),
        ("sk-proj-97531xkcdqwlpZTRE24!", "***!"),
        ("hf_abcdefghijklmnopqrst", "***"),
        ("see http://me:pw@host/x", "see http://***@host/x"),
        ("password: hunter2", "password: ***"),
        ("a risk-averse bear, and max_tokens=5", "a risk-averse bear, and max_tokens=5"),
        ("Bearer of news", "Bearer of news"),
    ],
)
def test_keys_in_the_settings_of_other_programs_are_known_by_their_form(
    text: str, kept: str
) -> None:
    assert redaction.without_keys(text) == kept
    nested = {"config": [text], "api_key": "anything", "max_tokens": 5, "token": "x"}
    assert redaction.settings_without_keys(nested) == {
        **nested,
        "config": [kept],
        "api_key": MASK,
    }


def test_a_password_of_a_proxy_is_hidden() -> None:
    made = Redactor()
    redaction.hide_proxies(
        {"HTTPS_PROXY": "http://me:p%40ss-word-1@proxy:1", "no_proxy": "x"}, made
    )
    assert made.blot("to http://me:p%40ss-word-1@proxy:1") == "to http://me:***@proxy:1"
    assert made.blot("p@ss-word-1") == MASK
