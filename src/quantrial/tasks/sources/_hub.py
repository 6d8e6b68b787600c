"""Data sets of the Hugging Face hub, or of a local folder in its layout, through `datasets`."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.errors import DataError, MissingExtraError, PathError, StudyError
from quantrial.paths import expanded, is_folder, open_file, parts_within
from quantrial.redaction import blot_error, excerpt, hide, hide_proxies
from quantrial.study import HubSource
from quantrial.tasks.choice import choice_record
from quantrial.tasks.rows import (
    COLUMNS,
    OF_CONTENT,
    Asked,
    FetchedSource,
    Reading,
    ReadRow,
    Row,
    Source,
    Where,
    find,
    metadata_of,
)
from quantrial.tasks.spans import named_tags, tagged_row

_ANSWERS = ("answer", "answerKey")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 200  # characters of a name on the hub
_MOST_FILES = 10_000  # of a local folder
_DEEPEST = 64  # folders within folders
_LOCAL = re.compile(r"[.~/\\]|[A-Za-z]:[/\\]")


def read_hub(source: HubSource, asked: Asked) -> Reading:
    """Read the split asked for, and the one of examples where the study names it.

    The commit that is read is resolved first and recorded: the newest of today can be read again.
    """
    base, key = asked.base, asked.key
    try:
        import datasets
        import huggingface_hub  # noqa: F401
    except ImportError as exc:
        raise MissingExtraError(
            "a source of type 'hub'", package=exc.name or "datasets", extra="hub"
        ) from exc
    folder = _folder(source, base, key=key)
    if is_folder(folder):
        files = _hashes(folder)
        with tempfile.TemporaryDirectory(prefix="quantrial-hub-") as cache, _quiet(datasets):
            # a cache of its own: an edited file is never answered from an older reading
            parts = _load_local(datasets, source, folder, cache)
            return _reading(source, asked, parts, files=files)
    if _LOCAL.match(source.repo):
        raise DataError("no such folder", path=folder)
    commit = _resolve(source)
    with _quiet(datasets):
        parts = _load(datasets, source.repo, source, name=source.config, revision=commit)
    return _reading(source, asked, parts, revision=commit)


def is_there(source: HubSource, base: Path) -> bool:
    """Say whether reading would download nothing; asks nobody.

    What the hub's packages keep of an earlier reading counts as there. So does what could not be
    downloaded anyway: reading says why.
    """
    try:
        import datasets
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name
    except ImportError:
        return True
    local = is_folder(_folder(source, base)) or _LOCAL.match(source.repo)
    if local or constants.HF_HUB_OFFLINE:
        return True
    kept = (
        Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source.repo, repo_type="dataset"),
        Path(datasets.config.HF_DATASETS_CACHE) / source.repo.replace("/", "___"),
    )
    return any(folder.exists() for folder in kept)


def fetch_bytes(source: HubSource, base: Path) -> int | None:
    """Return how many bytes reading downloads at most; None where that is not known.

    At most, because a data set's files may hold other configurations, too.
    """
    from huggingface_hub import HfApi

    try:
        told = HfApi().dataset_info(source.repo, revision=source.revision, files_metadata=True)
    except Exception:  # of whatever transport; reading would say it in words
        return None
    sizes = [file.size for file in told.siblings or ()]
    return None if None in sizes or not sizes else sum(size or 0 for size in sizes)


HUB = Source(
    HubSource,
    read_hub,
    shots_key="dev_split",
    by_subject=True,
    fetching=FetchedSource(lambda part: part.repo, is_there, fetch_bytes),
)


def _folder(source: HubSource, base: Path, *, key: str = "source") -> Path:
    """Return the local folder that a source may name; refuse what could be no name of a data set.

    The hub's packages make paths in their cache of all these names.
    """
    try:
        folder = expanded(source.repo, base)
    except PathError as exc:
        raise DataError(exc.problem, path=source.repo) from exc
    for option in ("config", "split", "revision", "dev_split"):
        name = getattr(source, option)
        if name is not None and (len(name) > _LONGEST or parts_within(name) is None):
            raise StudyError(
                f"{name!r:.60} is not a name on the hub; expected at most {_LONGEST} characters, "
                "without `..`",
                key=f"{key}.{option}",
            )
    if not is_folder(folder) and not _LOCAL.match(source.repo) and not _on_hub(source.repo):
        raise DataError(
            "is neither a folder here nor a name on the hub, such as org/name", path=folder
        )
    return folder


def _on_hub(repo: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        return False
    return True


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Show the progress of downloads on a terminal only."""
    if sys.stderr.isatty() or not datasets.is_progress_bar_enabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def _resolve(source: HubSource) -> str:
    if source.revision and _COMMIT.fullmatch(source.revision):
        return source.revision
    from huggingface_hub import HfApi

    with _translated(source.repo, f"revision {source.revision or 'newest'}"):
        return str(HfApi().dataset_info(source.repo, revision=source.revision).sha)


def _load_local(datasets: Any, source: HubSource, folder: Path, cache: str) -> Any:
    own: dict[str, Any] = {"name": source.config}
    if source.config and not _declares_configs(folder) and is_folder(folder / source.config):
        # a card declares the configurations; without one, its folders are taken for them
        own = {"data_dir": source.config}
    return _load(datasets, str(folder), source, cache_dir=cache, **own)


def _declares_configs(folder: Path) -> bool:
    card = folder / "README.md"
    return paths.is_file(card) and b"\nconfigs:" in paths.read_bytes(card)


def _load(datasets: Any, where: str, source: HubSource, **options: Any) -> Any:
    with _translated(source.repo, f"config {source.config!r}" if source.config else "read"):
        return datasets.load_dataset(where, **options)


@contextmanager
def _translated(repo: str, what: str) -> Iterator[None]:
    """Turn whatever the hub's packages raise into one line of ours, with no token in it."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    table: tuple[tuple[type[Exception], str], ...] = (
        (GatedRepoError, "is gated: accept its terms on its page and sign in with `hf auth login`"),
        (RevisionNotFoundError, f"has no {what}"),
        (RepositoryNotFoundError, "is not on the hub, or is private"),
        (OfflineModeIsEnabled, "cannot be reached: HF_HUB_OFFLINE is set"),
        (ConnectionError, "cannot be reached; once read, it is answered from the cache"),
    )
    hide(get_token())
    hide_proxies(os.environ)
    try:
        yield
    # the transport's own errors are of a package that changes with the version of huggingface_hub
    except Exception as exc:
        blot_error(exc)
        for kind, message in table:
            if isinstance(exc, kind):
                raise DataError(message, path=repo) from exc
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise DataError(f"cannot be read, {what} ({excerpt(reason, 200)})", path=repo) from exc


def _hashes(folder: Path) -> dict[str, str]:
    """Hash every file of a local folder, before the hub's packages read any of them.

    Raises:
        DataError: it holds a pipe or the like, or too many files to be a data set's own folder.
    """
    files: list[Path] = []
    for found, folders, names in os.walk(folder, followlinks=True):
        # what is hidden is read by nobody
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (Path(found, name) for name in names if not name.startswith("."))
        files += [path for path in visible if paths.is_there(path)]
        if len(files) + len(folders) > _MOST_FILES or len(Path(found).parts) > _DEEPEST:
            raise DataError(
                f"holds more than {_MOST_FILES:,} files, or folders in circles; name the folder of "
                "the data set alone",
                path=folder,
            )
    try:
        return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(files)}
    except OSError as exc:
        where = getattr(exc, "path", None) or exc.filename or folder
        raise DataError(f"cannot be read ({exc.strerror})", path=where) from exc


def _sha256(path: Path) -> str:
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reading(
    source: HubSource,
    asked: Asked,
    parts: Mapping[str, Any],
    *,
    files: Mapping[str, str] | None = None,
    revision: str | None = None,
) -> Reading:
    # a local folder is known by its name alone: its path differs from machine to machine
    repo = Path(source.repo).name if files is not None else source.repo
    read = {}
    for name, option in ((source.split, "split"), (source.dev_split, "dev_split")):
        if name is None:
            continue
        if name not in parts:
            raise StudyError(
                f"no split {name!r} in {source.repo}; there are: {', '.join(parts)}",
                key=f"{asked.key}.{option}",
            )
        read[name] = list(_rows(parts[name], asked, f"{repo}/{name}"))
    label = f"{repo}/{source.config}" if source.config else repo
    shots = read[source.dev_split] if source.dev_split else ()
    return Reading(label, read[source.split], shots, files or {}, revision or OF_CONTENT)


def _rows(part: Any, asked: Asked, path: str) -> Iterator[Row]:
    make = _MAKERS.get(asked.kind) or _maker_of(asked.row)
    for number, record in enumerate(part, start=1):
        yield make(record, part.features, Where(path, number))


def _choice(record: dict[str, Any], features: Any, where: Where) -> Row:
    return choice_record(_with_names(record, features, _ANSWERS), where, COLUMNS)


def _tagged(record: dict[str, Any], features: Any, where: Where) -> Row:
    find(record, ("tokens",), where, COLUMNS)
    column = find(record, ("ner_tags", "tags"), where, COLUMNS)
    tokens, tags = record["tokens"], record[column]
    names = getattr(getattr(features[column], "feature", None), "names", None)
    if names is not None:
        tags = named_tags(tags, names, where)
    elif isinstance(tags, list) and any(isinstance(tag, int) for tag in tags):
        raise where.error(
            f"{column!r} holds numbers, but the data set does not name them; expected texts or a "
            "ClassLabel feature"
        )
    own = {"tokens", column}
    metadata = metadata_of(_with_names(record, features, own), own, where, COLUMNS)
    return tagged_row(tokens, tags, metadata, where)


# columns of data sets are called otherwise than keys of one's own files
_MAKERS = {"choice": _choice, "spans": _tagged}


def _maker_of(row: ReadRow) -> Callable[[dict[str, Any], Any, Where], Row]:
    """Read rows of another kind as that kind reads objects of JSONL, ids of classes by name."""
    return lambda record, features, where: row(_with_names(record, features, ()), where)


def _with_names(record: dict[str, Any], features: Any, own: Collection[str]) -> dict[str, Any]:
    """Name what a record tells by ids of classes, but in the columns of an item's own parts.

    An id that names no class (-1 stands for none) is as good as null.
    """
    found = dict(record)
    for column, value in record.items():
        names = None if column in own else getattr(features[column], "names", None)
        if names is not None and isinstance(value, int):
            found[column] = names[value] if 0 <= value < len(names) else None
    return found
