"""Everything quantrial raises or warns about, in one tree.

QuantrialError
├── StudyError            (ValueError)    the study file, or what it asks for, is wrong
├── DataError             (ValueError)    a source of items cannot be read or drawn from
├── RecordError           (ValueError)    a file in a run folder is not what it should be
├── RunFolderError        (OSError)       a run folder cannot be used as asked
│   └── RunChangedError                   the study, the items or an artifact changed under a run
├── DocumentError       (ValueError)    a document with marked numbers cannot be used
│   ├── KeyNotFoundError  (LookupError)   a mark names what the run does not hold
│   └── FormatError                       a mark asks for a form that does not fit its value
├── PathError             (OSError)       a path is none, or leads to no file that can be read
├── ModelFileError        (ValueError)    a model reference or file is unusable
├── MissingExtraError     (ImportError)   an optional package is needed
├── PlatformError  (NotImplementedError)  the operating system lacks what a promise rests on
├── ConsentError                          it costs more than was agreed to; nothing is lost
│   └── CodeNotAllowedError               it would run code that was not allowed
├── EngineError           (RuntimeError)  an engine could not answer; a fault, never a wrong answer
│   ├── EngineStartError                  it could not be started or reached at all
│   ├── EngineTimeoutError (TimeoutError) no answer within the limit
│   ├── EngineCrashedError                it died while answering
│   ├── ModelChangedError                 another model stands behind an arm than before
│   └── ContextOverflowError              the prompt is longer than the context
├── ScoringError                          a scorer failed; nothing is known of the answer
│   └── ScoringLimitError                 it would have taken more time or memory than it may
└── StatisticsError       (ValueError)    a statistic was asked for something it cannot answer
    └── InsufficientDataError             too few observations for the question

QuantrialWarning          (UserWarning)
├── DataWarning                           items were found that deserve a look
├── RecordWarning                         something in a run folder was repaired or ignored
└── StatisticsWarning                     a statistic is returned as NaN, or with a caveat
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from quantrial.engines.base import Reply


_LONGEST = 300  # characters of a path in a message


def _located(message: str, path: Path | str | None, line: int | None) -> str:
    if path is None:
        return message
    where = str(path).encode("utf-8", "backslashreplace").decode()
    if len(where) > _LONGEST:
        where = f"{where[: _LONGEST // 2]}...{where[-_LONGEST // 2 :]}"
    return f"{where}, line {line}: {message}" if line is not None else f"{where}: {message}"


class QuantrialError(Exception):
    """The base of every error a user can cause or meet."""


class StudyError(QuantrialError, ValueError):
    """The study file, or what it asks for, is wrong.

    Carries `path` (the file) and `key` (the dotted key within it) where they are known.
    """

    def __init__(self, message: str, *, path: Path | str | None = None, key: str | None = None):
        self.path = path
        self.key = key
        super().__init__(_located(f"{key}: {message}" if key else message, path, None))


class DataError(QuantrialError, ValueError):
    """A source of items cannot be read, or holds too little; carries `path` and `line`."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None):
        self.path = path
        self.line = line
        super().__init__(_located(message, path, line))


class RecordError(QuantrialError, ValueError):
    """A file in a run folder is not what it should be; carries `path` and `line`."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None):
        self.path = path
        self.line = line
        super().__init__(_located(message, path, line))


class RunFolderError(QuantrialError, OSError):
    """A run folder cannot be used as asked (missing, in use, not writable); carries `path`."""

    def __init__(self, message: str, *, path: Path | str | None = None):
        self.path = path
        super().__init__(_located(message, path, None))


class RunChangedError(RunFolderError):
    """The study, the items or an artifact are not those the run was started with."""


class DocumentError(QuantrialError, ValueError):
    """A document with marked numbers cannot be read or written, or holds no mark."""

    def __init__(self, message: str, *, path: Path | str | None = None):
        self.path = path
        super().__init__(_located(message, path, None))


class KeyNotFoundError(DocumentError, LookupError):
    """A mark names what the run does not hold; the message names the nearest key it does."""


class FormatError(DocumentError):
    """A mark asks for a form that does not exist, or does not fit its value."""


class ModelFileError(QuantrialError, ValueError):
    """A model reference or model file is unusable; carries `path`."""

    def __init__(self, message: str, *, path: Path | str | None = None):
        self.path = path
        super().__init__(_located(message, path, None))


class PathError(QuantrialError, OSError):
    """A path is none, or leads to a pipe, a socket, a device or a link; carries `path`.

    `problem` (and `strerror`, as of any `OSError`) is what is wrong with it, without the path.
    """

    def __init__(self, message: str, *, path: Path | str | None = None):
        self.path = path
        self.problem = message
        super().__init__(_located(message, path, None))
        self.strerror = message


class MissingExtraError(QuantrialError, ImportError):
    """An optional package is needed; carries `extra`, and says what installs it."""

    def __init__(self, what: str, *, package: str, extra: str):
        self.extra = extra
        super().__init__(
            f"{what} needs the package {package!r}: "
            f"install it from a clone with `.venv/bin/pip install -e '.[{extra}]'`"
        )


class PlatformError(QuantrialError, NotImplementedError):
    """The operating system lacks what a promise rests on, such as a lock that ends with a run."""


class ConsentError(QuantrialError):
    """Something costs more than was agreed to: a download, or more than an hour of calls."""


class CodeNotAllowedError(ConsentError):
    """What a study names would run code, and `--allow-code` was not given; nothing was run."""


class EngineError(QuantrialError, RuntimeError):
    """An engine could not answer. A fault of the machinery, never a wrong answer of the model.

    `retryable` says whether asking again can help, `retry_after` after how many seconds, where the
    other side said so. `of_prompt` says that this prompt is refused, and others may be answered.
    `gone` says that nobody answers there now, as while a server is started anew. `partial` is what
    had come of an answer that broke off.
    """

    retryable = True
    gone = False
    of_prompt = False
    retry_after: float | None = None
    partial: Reply | None = None


class EngineStartError(EngineError):
    """The engine could not be started or reached at all."""

    retryable = False


class EngineTimeoutError(EngineError, TimeoutError):
    """The engine gave no answer within the limit."""


class EngineCrashedError(EngineError):
    """The engine died while it was answering."""


class ModelChangedError(EngineError):
    """Another model stands behind an arm than before: replaced or removed while the run goes on.

    Answers of two models would be mixed, so it stops a run and is recorded for no item.
    """

    retryable = False


class ContextOverflowError(EngineError):
    """The prompt is longer than the engine's context; asking again cannot help."""

    retryable = False
    of_prompt = True


class ScoringError(QuantrialError):
    """A scorer failed on an answer, of which nothing is known then; the answer is kept."""


class ScoringLimitError(ScoringError):
    """An answer would have taken a scorer more time or memory than it may have."""


class StatisticsError(QuantrialError, ValueError):
    """A statistic was asked for something it cannot answer."""


class InsufficientDataError(StatisticsError):
    """There are too few observations for the question."""


class QuantrialWarning(UserWarning):
    """The base of every warning."""


class DataWarning(QuantrialWarning):
    """Items were found that deserve a look (duplicates, for one)."""


class RecordWarning(QuantrialWarning):
    """Something in a run folder was repaired or ignored."""


class StatisticsWarning(QuantrialWarning):
    """A statistic is returned as NaN, or with a caveat."""
