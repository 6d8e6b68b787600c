"""MMLU as CSV files, `<subject>_<split>.csv`: the original release and the copies with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from quantrial.errors import DataError, StudyError
from quantrial.paths import is_folder, is_there, parts_within
from quantrial.study import MmluSource
from quantrial.tasks.choice import choice_row, letter_index
from quantrial.tasks.rows import Asked, Reading, Row, Source, Where, read_text

_LONGEST = 100  # characters of a split
_LONGEST_INDEX = 9  # digits


def read_mmlu(source: MmluSource, asked: Asked) -> Reading:
    """Read the subjects asked for, in the study's order or by name, and their dev examples."""
    path, key, shots = asked.path(source.path), asked.key, asked.shots
    if not is_folder(path):
        what = "is a file; name the folder that holds it" if is_there(path) else "no such folder"
        raise DataError(what, path=path)
    within = parts_within(source.split)
    if within is None or len(within) > 1 or len(source.split) > _LONGEST:
        raise StudyError(
            f"{source.split!r:.60} cannot be part of a file name; expected one such as test",
            key=f"{key}.split",
        )
    folder, present = _present((path, path / source.split), source.split)
    if not present:
        raise DataError(
            f"holds no file <subject>_{source.split}.csv, neither directly nor in {source.split}/",
            path=path,
        )
    subjects = _subjects(source, present, key)
    files: dict[str, str] = {}
    rows = [row for s in subjects for row in _file(folder, s, source.split, files)]
    dev_rows: list[Row] = []
    if source.split != "dev":
        dev, have = _present((path / "dev", path.parent / "dev", path), "dev")
        for subject in subjects:
            if subject in have:
                dev_rows += _file(dev, subject, "dev", files)
            elif shots:
                raise DataError(
                    f"no file {subject}_dev.csv in dev/, ../dev/ or the folder itself, but the "
                    f"study asks for {shots} shots",
                    path=path,
                )
    return Reading(path.name, rows, dev_rows, files)


MMLU = Source(MmluSource, read_mmlu, kind="choice", by_subject=True)


def _present(folders: tuple[Path, ...], split: str) -> tuple[Path, list[str]]:
    ending = f"_{split}.csv"
    for folder in folders:
        found = [p.name.removesuffix(ending) for p in folder.glob("*" + ending) if p.is_file()]
        if found:
            return folder, sorted(found)
    return folders[0], []


def _subjects(source: MmluSource, present: list[str], key: str) -> list[str]:
    if source.subjects is None:
        return present
    wanted = list(source.subjects)
    if not wanted:
        raise StudyError("is empty; leave it out to take every subject", key=f"{key}.subjects")
    for subject in wanted:
        if subject not in present:
            raise StudyError(
                f"no subject {subject!r} in the {source.split} files; there are: "
                f"{', '.join(present)}",
                key=f"{key}.subjects",
            )
        if wanted.count(subject) > 1:
            raise StudyError(f"names {subject!r} twice", key=f"{key}.subjects")
    return wanted


def _file(folder: Path, subject: str, split: str, files: dict[str, str]) -> list[Row]:
    path = folder / f"{subject}_{split}.csv"
    text, digest = read_text(path)
    files[path.name] = digest
    rows = list(mmlu_rows(text, path, subject))
    if not rows:
        raise DataError("holds a header but no question", path=path)
    return rows


def mmlu_rows(text: str, path: Path, subject: str) -> Iterator[Row]:
    """Parse one file's text; a header decides whether answers are indices or letters."""
    width, header = 0, False
    for line, cells in _records(text, path):
        where = Where(path, line)
        if not width:
            width = len(cells)
            header = cells[0].strip().lower() == "question"
            if header:
                _check_header(cells, where)
                continue
            if width < 4:
                raise where.error(
                    f"{width} column{'s' if width != 1 else ''}; expected a question, 2 to 10 "
                    "options and the answer"
                )
        if len(cells) != width:
            raise where.error(f"{len(cells)} columns; the first line has {width}")
        options = cells[1:-1]
        yield choice_row(
            cells[0],
            options,
            _answer(cells[-1], len(options), header, where),
            {"subject": subject},
            where,
        )


def _records(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1  # a quoted cell may hold line breaks: say where its row starts
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            raise DataError(f"not a CSV row ({exc})", path=path, line=line) from exc
        if any(cell.strip() for cell in cells):
            yield line, cells


def _check_header(cells: list[str], where: Where) -> None:
    expected = ["question", *(f"choice{i}" for i in range(len(cells) - 2)), "answer"]
    for i, (got, want) in enumerate(zip(cells, expected, strict=False), start=1):
        if got.strip().lower() != want:
            raise where.error(
                f"header column {i} is {got!r:.40}; expected question, choice0, ..., answer"
            )
    if len(cells) < 4:
        raise where.error("the header names fewer than 2 options; expected choice0, choice1, ...")


def _answer(cell: str, options: int, header: bool, where: Where) -> int:
    bare = cell.strip()
    if bare.isascii() and bare.isdigit():
        if header and len(bare) > _LONGEST_INDEX:
            raise where.error(f"the answer is {bare:.40}; that is not the index of an option")
        if header:
            return int(bare)
        raise where.error(
            f"the answer is {bare:.40}. Write a letter, or begin the file with the header "
            "question, choice0, ..., answer; then it is an index"
        )
    return letter_index(cell, options, where)
