from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from importers.fabricated import import_reference, read_rows, write_rows
from quantrial.errors import DataError, QuantrialError, RunFolderError, StudyError
from quantrial.importers import ImportOptions

Edit = Callable[[str, int, dict[str, Any]], Path]


def refused(published: Path, **options: Any) -> QuantrialError:
    """Import, expecting one line of refusal and nothing left behind."""
    out = published.parent / "out"
    with pytest.raises(QuantrialError) as caught:
        import_reference(published, out / "run", **options)
    assert not out.exists() or not list(out.iterdir())
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"example_id": None}, "example_id is None; expected a text or a whole number"),
        ({"example_id": 1.5}, "example_id is 1.5; expected a text or a whole number"),
        ({"example_id": True}, "example_id is True; expected a text or a whole number"),
        ({"example_id": ""}, "example_id is ''; expected a text or a whole number"),
        ({"arm": "q8_0"}, "arm is 'q8_0', but the file's name says 'fp16'"),
        ({"arm": 16}, "arm is 16, but the file's name says 'fp16'"),
        ({"task": "extraction"}, "task is 'extraction', but the file's name says 'mmlu'"),
        ({"gold": "the first"}, "gold is 'the first'; expected a letter from A to J"),
        ({"gold": "K"}, "gold is 'K'; expected a letter from A to J"),
        ({"gold": 2}, "gold is 2; expected a letter from A to J"),
        ({"gold": [["x", "PER"]]}, "gold is [['x', 'PER']]; expected a letter from A to J"),
        ({"output": None}, "output is None; expected the raw text"),
        ({"output": ["A"]}, "output is ['A']; expected the raw text"),
        ({"score": "1"}, "score is '1'; expected a number"),
        ({"status": 200}, "status is 200; expected a text"),
        ({"error": {}, "status": "x"}, "error is {}; expected a text"),
        ({"timestamp": 5}, "timestamp is 5; expected a text"),
        ({"metadata": "law"}, "metadata is 'law'; expected an object"),
        ({"timing": 3}, "timing is 3; expected an object"),
        (
            {"timing": {"eval_count": "12"}},
            "timing.eval_count is '12'; expected a number from 0 up",
        ),
        ({"timing": {"eval_count": 1.5}}, "timing.eval_count is 1.5; expected a whole number"),
        (
            {"timing": {"eval_duration_ns": -1}},
            "timing.eval_duration_ns is -1; expected a number from 0 up",
        ),
        (
            {"timing": {"total_duration_ns": True}},
            "timing.total_duration_ns is True; expected a number from 0 up",
        ),
    ],
)
def test_wrong_value_in_a_row(
    edit: Edit, published: Path, fields: dict[str, Any], message: str
) -> None:
    path = edit("mmlu_fp16", 16, fields)
    error = refused(published)
    assert isinstance(error, DataError)
    assert str(error) == f"{path}, line 17: {message}"
    assert (error.path, error.line) == (path, 17)


@pytest.mark.parametrize(
    "gold", ["A", None, {}, [["x"]], [["x", "PER", 1]], [["x", 1]], ["xy"], [{"text": "x"}]]
)
def test_gold_of_extraction_is_pairs(edit: Edit, published: Path, gold: Any) -> None:
    path = edit("extraction_q8_0", 2, {"gold": gold})
    error = str(refused(published))
    assert error == f"{path}, line 3: gold is {gold!r}; expected a list of pairs [text, TYPE]"


@pytest.mark.parametrize("key", ["example_id", "score", "output", "gold"])
def test_missing_field(published: Path, key: str) -> None:
    path = published / "mmlu_fp16.jsonl"
    rows = read_rows(path)
    del rows[4][key]
    write_rows(path, rows)
    assert str(refused(published)) == f"{path}, line 5: field {key!r} is missing"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"example_id": "q9", ', "not valid JSON (unexpected end of data, column 22)"),
        (b"[1, 2]", "expected a JSON object"),
        (b"NaN", "expected a JSON object"),
        (b'{"output": "caf\xe9"}', "not UTF-8 (byte {at} is 0xe9): save it as UTF-8"),
        (b'{"output": "\\ud800"}', "not valid JSON ("),
        (b'{"output": NaN, }', "not valid JSON ("),
        (b"[" * 3000, "not valid JSON ("),
    ],
)
def test_malformed_line(published: Path, line: bytes, message: str) -> None:
    path = published / "extraction_fp16.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[2] = line
    data = b"\n".join(lines)
    path.write_bytes(data)
    expected = message.format(at=data.find(b"\xe9"))
    assert str(refused(published)).startswith(f"{path}, line 3: {expected}")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_file(published: Path, content: str) -> None:
    path = published / "mmlu_q8_0.jsonl"
    path.write_text(content)
    assert str(refused(published)) == f"{path}: the file is empty"


def test_golds_must_agree(edit: Edit, published: Path) -> None:
    path = edit("mmlu_q4_K_M", 7, {"gold": "A"})
    assert str(refused(published)) == (
        f"{path}, line 8: example 'q7' has gold 'A', but 'D' in mmlu_fp16.jsonl, line 8"
    )


def test_golds_of_extraction_must_agree(edit: Edit, published: Path) -> None:
    # another order, case and a repeated mention are the same gold; another type is not
    edit("extraction_q8_0", 9, {"gold": [["city 9", "loc"], ["NAME 9 ", "PER"], ["City 9", "LOC"]]})
    import_reference(published, published.parent / "fine")
    path = edit("extraction_q8_0", 9, {"gold": [["Name 9", "ORG"], ["City 9", "LOC"]]})
    error = str(refused(published))
    assert error.startswith(f"{path}, line 10: example '9' has gold [['Name 9', 'ORG']")


def test_subjects_must_agree(edit: Edit, published: Path) -> None:
    path = edit("mmlu_q4_K_M", 7, {"metadata": {"subject": "law"}})
    assert str(refused(published)) == (
        f"{path}, line 8: example 'q7' has subject 'law', but 's3' in another arm's file"
    )


def test_no_files(tmp_path: Path) -> None:
    (tmp_path / "mmlu.jsonl").write_text("{}")
    (tmp_path / "mmlu_.jsonl").write_text("{}")
    assert str(refused(tmp_path)) == (
        f"{tmp_path}: no answers to import: looked for mmlu_<arm>.jsonl and "
        "extraction_<arm>.jsonl; there are mmlu.jsonl, mmlu_.jsonl. "
        "`--name-task OLD=name:kind:workload` names files of "
        "another task"
    )


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / name
    assert str(refused(path)).startswith(f"{path}: no such folder; one with files mmlu_<arm>.jsonl")


def test_one_arm(published: Path) -> None:
    for path in published.glob("*_q*"):
        path.unlink()
    assert str(refused(published)).startswith(
        f"{published}: only one arm, 'fp16': a comparison needs at least two"
    )


def test_two_files_of_one_arm(published: Path) -> None:
    path = published / "mmlu_FP16.jsonl"
    write_rows(path, read_rows(published / "mmlu_fp16.jsonl"))
    assert str(refused(published)) == (
        f"{published / 'mmlu_fp16.jsonl'}: stands for the same arm as mmlu_FP16.jsonl; rename one"
    )


def test_arm_without_a_name(published: Path) -> None:
    path = published / "mmlu_--.jsonl"
    write_rows(path, [])
    assert str(refused(published)) == f"{path}: no arm's name can be made of '--'; rename the file"


def test_unknown_reference(published: Path) -> None:
    error = refused(published, reference="q6_K")
    assert isinstance(error, StudyError)
    assert str(error) == (
        f"{published}: reference: there is no arm 'q6_K'; the arms are: fp16, q8_0, q4_K_M"
    )


def test_no_reference_by_default(published: Path) -> None:
    for path in published.glob("*_fp16.jsonl"):
        path.unlink()
    error = refused(published)
    assert isinstance(error, StudyError)
    assert str(error) == (
        f"{published}: reference: none of fp16, f16, bf16 is there; name one of the arms: "
        "q8_0, q4_K_M"
    )


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (ImportOptions(name="my study"), "study"),
        (ImportOptions(seed=-1), "seed"),
        (ImportOptions(margin=1.0), "margin"),
        (ImportOptions(scoring="guess"), "tasks.mmlu.scoring"),
        (ImportOptions(resamples=1), "analysis.resamples"),
    ],
)
def test_options_out_of_range(published: Path, options: ImportOptions, key: str) -> None:
    error = refused(published, options=options)
    assert isinstance(error, StudyError)
    assert error.key == key


def test_folder_must_not_exist(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(RunFolderError, match="there: exists already; name a folder that does not"):
        import_reference(published, folder)
    assert list(folder.iterdir()) == []


def test_dangling_link_is_there_too(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "link"
    folder.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="exists already"):
        import_reference(published, folder)


def test_folder_that_cannot_be_written(published: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    folder = tmp_path / "file" / "run"
    with pytest.raises(RunFolderError) as caught:
        import_reference(published, folder)
    assert str(caught.value) == f"{folder}: cannot be written (Not a directory)"


def test_failure_while_writing_leaves_nothing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("quantrial.runfolder.os.replace", full)
    with pytest.raises(RunFolderError) as caught:
        import_reference(published, tmp_path / "run")
    assert str(caught.value) == f"{tmp_path / 'run'}: cannot be written (No space left on device)"
    assert [p.name for p in tmp_path.iterdir()] == [published.name]
