"""Keys blotted out of texts: the one place that passes whatever a server, a log or an error says.

A key is hidden from the moment it is read (`hide`). From then on no 8 characters in a row of it get
through: whole or in part, in capitals or small letters, escaped as in a URL, in JSON or in HTML, or
as Base64. What the user's own study says stays, since it lies in the run folder anyway (`public`).
"""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import itertools
import json
import logging
import re
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
LEAST = 8  # characters; a shorter key is a part of too many words to be blotted out of them
# what people write where a server wants a key and looks at none
_STAND_INS = frozenset(
    {
        *("none", "null", "empty", "dummy", "fake", "test", "key", "x", "xxx", "sk-xxx", "sk-1234"),
        *("not-needed", "not_needed", "notneeded", "no-key", "no-key-required", "not-required"),
        *("sk-no-key-required", "sk-no-key-needed", "placeholder", "unused", "anything"),
        *("ollama", "lm-studio", "lmstudio", "llama.cpp", "local", "vllm", "token-abc123"),
    }
)
_SMALL = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_SIGNS = "%\\&"  # one of them stands in every escaped text
_CALLS = ("Request", "Response")  # what clients hang on their errors: headers, and whole answers
_DEEPEST = 200  # levels of a value; orjson writes no more than 254
# the forms that keys have in logs and configurations of other programs
_FORMS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:sk|rk|pk)-                          # OpenAI, Anthropic, OpenRouter
      (?=[A-Za-z_-]*[0-9])(?=[A-Za-z0-9_-]*?[A-Za-z0-9]{12})[A-Za-z0-9_-]{16,}
    | (?<![A-Za-z0-9])(?:hf|gsk|r8|ghp|gho|ghs)_[A-Za-z0-9]{16,}
    | (?<![A-Za-z0-9])(?:nvapi|xai)-[A-Za-z0-9_-]{20,}
    | (?<![A-Za-z0-9])github_pat_[A-Za-z0-9_]{16,}
    | (?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{30,}
    | (?<=\bBearer\ )[A-Za-z0-9._~+/=-]{8,}
    | (?<=\bBasic\ )[A-Za-z0-9+/=_-]{8,}
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                      # name and password of a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)
_NAMED = re.compile(
    r"""((?:api[_-]?key|access[_-]?token|auth[_-]?token|x-api-key|password|passwd|secret)
    ["']?\s*[=:]\s*["']?)([^\s"',;&}\])]+)""",
    re.VERBOSE | re.IGNORECASE,
)
_NAMES = re.compile(
    r"(x[-_]?)?api[-_]?key|(access|auth|bearer|api)[-_]?token|authorization|password|passwd|secret",
    re.IGNORECASE,
)


class Redactor:
    """Knows some secrets, and blots them out of texts. Several threads may use it at once."""

    def __init__(self) -> None:
        # a finalizer may run within any line, the lock's own too
        self._lock = threading.RLock()
        self._hidden: Counter[str] = Counter()  # by how many it is hidden
        self._secrets: tuple[str, ...] = ()
        self._grams: Mapping[int, frozenset[str]] = {}  # by length, in small letters
        self._fours: frozenset[str] = frozenset()  # what of four characters stands in them
        self._public: frozenset[str] = frozenset()

    def knows_any(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._secrets)

    def hide(self, secret: str | None, *, owner: object = None) -> None:
        """Blot a key out of every text from now on; one that is none (`is_secret`) is let be.

        Args:
            secret: the key.
            owner: what uses it; once that is gone the key is hidden no more on its account.
        """
        if not secret or not is_secret(secret):
            return
        with self._lock:
            self._hidden[secret] += 1
            self._settle()
        if owner is not None:
            with contextlib.suppress(TypeError):  # some objects cannot be watched: it stays hidden
                weakref.finalize(owner, self._forget, secret)

    def _forget(self, secret: str) -> None:
        with self._lock:
            self._hidden[secret] -= 1
            self._settle()

    def _settle(self) -> None:
        secrets = tuple(sorted(+self._hidden))
        if secrets == self._secrets:
            return
        grams: dict[int, set[str]] = {}
        for gram in itertools.chain.from_iterable(map(_grams_of, secrets)):
            grams.setdefault(len(gram), set()).add(gram)
        self._fours = frozenset(
            gram[at : at + 4] for of in grams.values() for gram in of for at in range(len(gram) - 3)
        )
        self._grams = {length: frozenset(of) for length, of in sorted(grams.items())}
        self._secrets = secrets

    @contextlib.contextmanager
    def public(self, texts: Iterable[str]) -> Iterator[None]:
        """Let stand what these texts say too: parts of a key that are words of the study.

        A text that holds a whole key makes nothing public.
        """
        before, found = self._public, set[str]()
        for text in texts if self._secrets else ():
            if not self.holds_whole(text):
                found.update(text[start:end] for start, end in self._hits(text))
        self._public = before | found
        try:
            yield
        finally:
            self._public = before

    def holds_whole(self, text: str) -> bool:
        """Whether a whole key stands in a text."""
        if not self._secrets:
            return False
        small = text.translate(_SMALL)
        return any(secret.translate(_SMALL) in small for secret in self._secrets)

    def blot(self, text: str) -> str:
        """Return the text with every part of a key as `***`."""
        if not self._secrets or not (spans := self._spans(text)):
            return text
        kept, at = [], 0
        for start, end in spans:
            kept += [text[at:start], MASK]
            at = end
        return "".join((*kept, text[at:]))

    def blot_parts(self, parts: Sequence[str]) -> list[str]:
        """Blot what stands in texts that are pieces of one: `***` is each that holds any of it."""
        if not self._secrets or not (spans := self._spans("".join(parts))):
            return list(parts)
        blotted, at = [], 0
        for part in parts:
            end = at + len(part)
            touched = any(start < end and at < stop for start, stop in spans)
            blotted.append(MASK if touched else part)
            at = end
        return blotted

    def blot_all(self, value: Any) -> Any:
        """Blot every text in a value of JSON, names of its objects too; the rest stays as it is."""
        return self._walk(value, 0) if self._secrets else value

    def _walk(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.blot(value)
        if depth > _DEEPEST:
            return MASK
        if isinstance(value, Mapping):
            return {
                self.blot(key) if isinstance(key, str) else key: self._walk(one, depth + 1)
                for key, one in value.items()
            }
        if isinstance(value, list | tuple):
            walked = [self._walk(one, depth + 1) for one in value]
            return walked if isinstance(value, list) else tuple(walked)
        return value

    def blot_error(self, exc: BaseException) -> None:
        """Blot an exception and all that it came of: texts of its arguments and attributes."""
        seen: set[int] = set()
        links = [exc]
        while self._secrets and links:
            link = links.pop()
            if id(link) in seen:
                continue
            seen.add(id(link))
            link.args = tuple(self._plain(one) for one in link.args)
            for name, value in list(getattr(link, "__dict__", {}).items()):
                with contextlib.suppress(AttributeError, TypeError):  # one that cannot be set
                    setattr(link, name, self._plain(value))
            for name in ("object", "doc", "reason", "strerror", "filename"):  # of errors of Python
                if isinstance(value := getattr(link, name, None), str | bytes):
                    with contextlib.suppress(AttributeError, TypeError):
                        setattr(link, name, self._plain(value))
            links += [one for one in (link.__cause__, link.__context__) if one is not None]

    def _plain(self, value: Any) -> Any:
        if isinstance(value, bytes):  # places in them are counted: they stay as long as they are
            spans = self._spans(value.decode("latin-1"))
            for start, end in spans:
                value = value[:start] + b"*" * (end - start) + value[end:]
            return value
        if type(value).__name__ in _CALLS:
            return None
        return self.blot_all(value) if type(value) in (str, dict, list, tuple) else value

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Say where parts of keys stand, in order; what touches is one."""
        spans: list[tuple[int, int]] = []
        for start, end in self._hits(text):
            if text[start:end] in self._public:
                continue
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return spans

    def _hits(self, text: str) -> list[tuple[int, int]]:
        """Find every gram of a key in a text."""
        if len(text) < LEAST:
            return []
        small = text.translate(_SMALL)
        escaped = any(sign in text for sign in _SIGNS)
        lengths = [(n, grams) for n, grams in self._grams.items() if n == LEAST or escaped]
        # every gram holds four characters that begin at a multiple of four
        return sorted(
            {
                (start, start + length)
                for at in range(0, len(small) - 3, 4)
                if small[at : at + 4] in self._fours
                for length, grams in lengths
                for start in range(max(at + 4 - length, 0), at + 1)
                if small[start : start + length] in grams
            }
        )


def is_secret(key: str) -> bool:
    """Whether a key is one to hide: 8 characters at least, and no stand-in for one (`EMPTY`)."""
    return len(key) >= LEAST and not is_stand_in(key)


def is_stand_in(key: str) -> bool:
    """Whether a key is what people write where a server looks at none."""
    return key.lower() in _STAND_INS


@functools.lru_cache(maxsize=64)
def _grams_of(secret: str) -> frozenset[str]:
    """Return what must not stand in a text, in small letters: all that 8 characters can look like.

    Without escapes that is as many characters; only such ones, and Base64, have that length.
    """
    grams = set()
    for form in _ESCAPES:
        escaped = [form(character) for character in secret]
        grams |= {"".join(escaped[at : at + LEAST]) for at in range(len(secret) - LEAST + 1)}
    for text in _base64_of(secret.encode("utf-8", "surrogatepass")):
        grams |= {text[at : at + LEAST] for at in range(len(text) - LEAST + 1)}
    return frozenset(gram.translate(_SMALL) for gram in grams)


_ESCAPES: tuple[Callable[[str], str], ...] = (
    str,  # as it is
    lambda one: quote(one, safe="", errors="replace"),  # in a URL
    lambda one: json.dumps(one)[1:-1],
    lambda one: one if one.isalnum() else f"\\u{ord(one):04x}",
    lambda one: "\\" + one if one in "'\\" else one,  # in Python
    lambda one: "\\/" if one == "/" else one,  # in PHP
    html.escape,
)


def _base64_of(data: bytes) -> Iterator[str]:
    """Yield the Base64 of data wherever they begin in what is encoded, in both alphabets.

    Only those characters are in it that nothing else decides.
    """
    for before in range(3):
        ours = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        known = ours[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        yield known
        yield known.replace("+", "-").replace("/", "_")


_REDACTOR = Redactor()
hide, public, knows_any = _REDACTOR.hide, _REDACTOR.public, _REDACTOR.knows_any
blot, blot_parts, blot_all = _REDACTOR.blot, _REDACTOR.blot_parts, _REDACTOR.blot_all
blot_error, holds_whole = _REDACTOR.blot_error, _REDACTOR.holds_whole


def excerpt(text: str, most: int) -> str:
    """Return the beginning of a text, keys blotted before it is cut."""
    shown = blot(text)
    return shown if len(shown) <= most else shown[:most] + "…"


def hide_proxies(environment: Mapping[str, str], redactor: Redactor = _REDACTOR) -> None:
    """Hide the passwords of the proxies that the environment names: errors repeat their URLs."""
    for name, url in environment.items():
        if name.lower().endswith("_proxy"):
            with contextlib.suppress(ValueError):
                redactor.hide(urlsplit(url).password)
                redactor.hide(unquote(urlsplit(url).password or ""))


def without_keys(text: str) -> str:
    """Blot what has the form of a key out of a text of another program, such as its settings."""
    return _NAMED.sub(rf"\1{MASK}", _FORMS.sub(MASK, blot(text)))


def settings_without_keys(value: Any) -> Any:
    """Blot what has the form or the name of a key out of settings of another program."""
    if isinstance(value, str):
        return without_keys(value)
    if isinstance(value, Mapping):
        return {
            name: MASK
            if isinstance(one, str) and one and _NAMES.fullmatch(str(name))
            else settings_without_keys(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        walked = [settings_without_keys(one) for one in value]
        return walked if isinstance(value, list) else tuple(walked)
    return value


def key_among(options: Any, place: str) -> str | None:
    """Return where a key stands among options that should only say where to find it; else None.

    Known by its name (`api_key`, `Authorization`) or by its form (`sk-...`, `Bearer ...`).
    """
    if isinstance(options, Mapping):
        for name, value in options.items():
            at = f"{place}.{name}"
            named = _NAMES.fullmatch(str(name)) and isinstance(value, str) and is_secret(value)
            if named or (found := key_among(value, at)) is not None:
                return at if named else found
    elif isinstance(options, list | tuple):
        for number, value in enumerate(options):
            if (found := key_among(value, f"{place}.{number}")) is not None:
                return found
    elif isinstance(options, str) and _FORMS.search(options):
        return place
    return None


class LogFilter(logging.Filter):
    """Blots keys out of lines of a log: transports log headers, and errors, when asked to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Blot one record; all are kept."""
        if not knows_any():
            return True
        text = record.getMessage()
        if (blotted := blot(text)) != text:
            record.msg, record.args = blotted, ()
        if record.exc_info and record.exc_info[1] is not None:
            blot_error(record.exc_info[1])
        return True


_LOG_FILTER = LogFilter()


def guard_logs(*names: str) -> None:
    """Have these loggers, and those below them that there are, blot keys out of what they log."""
    known = [n for n in logging.Logger.manager.loggerDict if n.startswith(names)]
    for name in {*names, *known}:
        logging.getLogger(name).addFilter(_LOG_FILTER)
