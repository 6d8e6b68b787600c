"""The hub's loader, offline: local folders in hub layout, and the hub itself replaced."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from quantrial.errors import ConsentError, DataError, MissingExtraError, StudyError
from quantrial.study import HubSource
from quantrial.tasks import sources
from quantrial.tasks.rows import FetchedSource
from quantrial.tasks.sources import LoadedItems, _hub, load_items, shots_for
from studies import write_study
from tasks.specs import Write, choice, spans

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS: dict[str, list[Any]] = {
    "question": ["Who?", "What?"],
    "subject": ["law", "art"],
    "choices": [["w", "x", "y", "z"], ["a", "b", "c", "d"]],
    "answer": [2, 0],
}
DEV: dict[str, list[Any]] = {
    "question": ["Dev law?", "Dev art?"],
    "subject": ["law", "art"],
    "choices": [["1", "2"], ["3", "4"]],
    "answer": [1, 0],
}
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SENTENCES: dict[str, list[Any]] = {
    "id": ["0", "1"],
    "tokens": [["Ada", "Lovelace", "left"], ["Paris"]],
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


Layout = Callable[[str, dict[str, list[Any]], Any], Path]


@pytest.fixture
def parquet(tmp_path: Path) -> Layout:
    """Write a split of a data set in the layout of the hub."""
    import datasets

    def write_split(name: str, columns: dict[str, list[Any]], features: Any = None) -> Path:
        path = tmp_path / "mmlu" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
        return path

    return write_split


def load(tmp_path: Path, **options: Any) -> LoadedItems:
    own: dict[str, Any] = {
        key: options.pop(key) for key in ("split", "dev_split", "config") if key in options
    }
    return load_items(
        "mmlu", choice({"type": "hub", "repo": "mmlu", **own}, **options), base=tmp_path
    )


def test_a_folder_in_hub_layout(parquet: Layout, tmp_path: Path) -> None:
    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    parquet("data/dev-00000-of-00001.parquet", DEV, None)
    loaded = load(tmp_path, dev_split="dev", shots=1)
    assert [(i.content["question"], i.gold, i.metadata, i.source) for i in loaded.items] == [
        ("Who?", "C", {"subject": "law"}, "mmlu/test:1"),
        ("What?", "A", {"subject": "art"}, "mmlu/test:2"),
    ]
    assert [shots_for(i, loaded.shots, 1)[0].content["question"] for i in loaded.items] == [
        "Dev law?",
        "Dev art?",
    ]
    assert loaded.provenance["id"] == "mmlu"
    assert loaded.provenance["revision"] == loaded.provenance["content_sha256"]
    assert sorted(loaded.provenance["files"]) == [
        "data/dev-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    ]


def test_the_same_items_as_from_csv(parquet: Layout, write: Write, tmp_path: Path) -> None:
    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    write("csv/law_test.csv", "Who?,w,x,y,z,C\n")
    from_csv = load_items("mmlu", choice({"type": "mmlu_csv", "path": "csv"}), base=tmp_path)
    assert load(tmp_path).items[0].id == from_csv.items[0].id


def test_answers_and_subjects_may_be_class_labels(parquet: Layout, tmp_path: Path) -> None:
    from datasets import ClassLabel, Features, List, Value

    features = Features(
        {
            "question": Value("string"),
            "subject": ClassLabel(names=["art", "law"]),
            "choices": List(Value("string")),
            "answer": ClassLabel(names=["A", "B", "C", "D"]),
        }
    )
    columns = {**ROWS, "subject": [1, 0]}
    parquet("data/test-00000-of-00001.parquet", columns, features)
    assert [(i.gold, i.metadata) for i in load(tmp_path).items] == [
        ("C", {"subject": "law"}),
        ("A", {"subject": "art"}),
    ]


def test_answers_may_be_letters(parquet: Layout, tmp_path: Path) -> None:
    parquet("data/test-00000-of-00001.parquet", {**ROWS, "answer": ["C", "A"]}, None)
    assert [i.gold for i in load(tmp_path).items] == ["C", "A"]


CARD = """---
configs:
- config_name: all
  data_files:
  - split: test
    path: all/test-*
  - split: dev
    path: all/dev-*
---
# MMLU
"""


@pytest.mark.parametrize("card", [CARD, None])
def test_configurations(parquet: Layout, write: Write, tmp_path: Path, card: str | None) -> None:
    parquet("all/test-00000-of-00001.parquet", ROWS, None)
    parquet(
        "law/test-00000-of-00001.parquet", {key: column[:1] for key, column in ROWS.items()}, None
    )
    if card:
        write("mmlu/README.md", card)
        parquet("all/dev-00000-of-00001.parquet", DEV, None)
    loaded = load(tmp_path, config="all")
    assert len(loaded.items) == 2
    assert loaded.provenance["id"] == "mmlu/all"
    if card:
        assert len(load(tmp_path, config="all", dev_split="dev").shots) == 2


@pytest.mark.parametrize("labelled", [True, False])
def test_tagged_sentences(parquet: Layout, tmp_path: Path, labelled: bool) -> None:
    from datasets import ClassLabel, Features, List, Value

    tags: list[list[Any]] = [[1, 2, 0], [3]]
    features = None
    if labelled:
        features = Features(
            {
                "id": Value("string"),
                "tokens": List(Value("string")),
                "ner_tags": List(ClassLabel(names=TAGS)),
            }
        )
    else:
        tags = [[TAGS[tag] for tag in row] for row in tags]
    parquet("data/test-00000-of-00001.parquet", {**SENTENCES, "ner_tags": tags}, features)
    loaded = load_items("ner", spans({"type": "hub", "repo": "mmlu"}), base=tmp_path)
    assert [(i.content["text"], i.gold, i.metadata) for i in loaded.items] == [
        ("Ada Lovelace left", [["Ada Lovelace", "PER"]], {"id": "0"}),
        ("Paris", [["Paris", "LOC"]], {"id": "1"}),
    ]


def test_an_edited_folder_is_read_anew(parquet: Layout, tmp_path: Path) -> None:
    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    before = load(tmp_path).provenance
    parquet("data/test-00000-of-00001.parquet", {**ROWS, "answer": [1, 0]}, None)
    loaded = load(tmp_path)
    assert [i.gold for i in loaded.items] == ["B", "A"]
    assert loaded.provenance["revision"] != before["revision"]


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [
        ({"q": ["a"]}, "choice", "mmlu/test, line 1: no column 'choices' or 'options'; columns: q"),
        ({"choices": [["a", "b"]], "answer": [0]}, "choice", "no column 'question'"),
        (
            {**DEV, "answer": [0, 2]},
            "choice",
            "line 2: the answer is index 2; with 2 options",
        ),
        ({**DEV, "answer": ["A", "C"]}, "choice", "line 2: the answer is 'C'; with 2 options"),
        ({**DEV, "answer": [0.5, 1.0]}, "choice", "'answer' is 0.5; expected an index from 0"),
        (
            {**DEV, "choices": [["a"], ["b", "c"]]},
            "choice",
            "line 1: 1 option; expected 2 to 10",
        ),
        ({**DEV, "choices": ["ab", "cd"]}, "choice", "'choices' is 'ab'; expected a list of texts"),
        (SENTENCES, "spans", "no column 'ner_tags' or 'tags'; columns: id, tokens"),
        (ROWS, "spans", "no column 'tokens'"),
        (
            {**SENTENCES, "ner_tags": [[1, 2, 0], [3]]},
            "spans",
            "'ner_tags' holds numbers, but the data set does not name them",
        ),
        ({**SENTENCES, "ner_tags": [["O"], ["O"]]}, "spans", "3 tokens, but 1 tag"),
        ({**SENTENCES, "ner_tags": [["X-PER", "O", "O"], ["O"]]}, "spans", "tag 1 is 'X-PER'"),
        (
            {"tokens": [["a"], []], "tags": [["O"], []]},
            "spans",
            "line 2: the sentence has no tokens",
        ),
    ],
)
def test_columns_that_do_not_fit(
    parquet: Layout, tmp_path: Path, columns: dict[str, list[Any]], kind: str, message: str
) -> None:
    parquet("data/test-00000-of-00001.parquet", columns, None)
    make: Any = choice if kind == "choice" else spans
    with pytest.raises(DataError, match=re.escape(message)):
        load_items("mmlu", make({"type": "hub", "repo": "mmlu"}), base=tmp_path)


def test_what_a_folder_does_not_offer(parquet: Layout, write: Write, tmp_path: Path) -> None:
    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    message = "tasks.mmlu.source.dev_split: no split 'dev' in mmlu; there are: test"
    with pytest.raises(StudyError, match=re.escape(message)):
        load(tmp_path, dev_split="dev")
    with pytest.raises(StudyError, match=r"tasks\.mmlu\.source\.split: no split 'val'"):
        load(tmp_path, split="val")
    with pytest.raises(StudyError, match="offers 0; set `dev_split` in the source"):
        load(tmp_path, shots=1)
    with pytest.raises(DataError, match="mmlu: cannot be read, config 'law'"):
        load(tmp_path, config="law")
    write("mmlu/data/test-00000-of-00001.parquet", "not parquet")
    with pytest.raises(DataError, match="mmlu: cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("repo", ["./nowhere", "../nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_a_folder_that_is_not_there(tmp_path: Path, repo: str) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_items("mmlu", choice({"type": "hub", "repo": repo}), base=tmp_path)


def _fetched(source: HubSource, base: Path) -> tuple[bool, int | None]:
    return not _hub.is_there(source, base), _hub.fetch_bytes(source, base)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "mmlu").mkdir()
    with pytest.raises(DataError, match="mmlu: cannot be read"):
        load(tmp_path)


@pytest.fixture
def hub(parquet: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A hub that holds one data set, and notes what it is asked."""
    import datasets
    import huggingface_hub

    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    asked: list[Any] = []
    load_dataset = datasets.load_dataset

    def info(_api: Any, repo: str, *, revision: str | None = None) -> Any:
        asked.append(("info", repo, revision))
        return SimpleNamespace(sha=COMMIT)

    def from_hub(path: str, **options: Any) -> Any:
        asked.append(("load", path, options))
        return load_dataset(str(tmp_path / "mmlu"), cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    return asked


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_a_revision_is_resolved_to_a_commit_and_that_is_read(
    hub: list[Any], tmp_path: Path, revision: str | None
) -> None:
    source = {"type": "hub", "repo": "cais/mmlu", "config": "all", "revision": revision}
    loaded = load_items("mmlu", choice(source), base=tmp_path)
    assert hub == [
        ("info", "cais/mmlu", revision),
        ("load", "cais/mmlu", {"name": "all", "revision": COMMIT}),
    ]
    assert loaded.provenance["revision"] == COMMIT
    assert loaded.provenance["id"] == "cais/mmlu/all"
    assert loaded.provenance["files"] == {}
    assert loaded.items[0].source == "cais/mmlu/test:1"


def test_a_pinned_commit_asks_nobody(hub: list[Any], tmp_path: Path) -> None:
    source = {"type": "hub", "repo": "cais/mmlu", "revision": COMMIT[::-1]}
    loaded = load_items("mmlu", choice(source), base=tmp_path)
    assert hub == [("load", "cais/mmlu", {"name": None, "revision": COMMIT[::-1]})]
    assert loaded.provenance["revision"] == COMMIT[::-1]


def faults() -> list[tuple[Exception, str]]:
    from huggingface_hub import errors

    response: Any = SimpleNamespace(headers={}, request=None, status_code=404, text="", url="")
    return [
        (
            errors.RepositoryNotFoundError("404", response=response),
            "is not on the hub, or is private",
        ),
        (errors.RevisionNotFoundError("404", response=response), "has no revision v9"),
        (errors.GatedRepoError("403", response=response), "is gated: accept its terms"),
        (errors.OfflineModeIsEnabled("offline"), "cannot be reached: HF_HUB_OFFLINE is set"),
        (ConnectionError("no route"), "cannot be reached; once read,"),
        (errors.HFValidationError("bad name\nmore"), "cannot be read, revision v9 (bad name)"),
        (RuntimeError(), "cannot be read, revision v9 (RuntimeError)"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_every_fault_of_the_hub_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    import huggingface_hub

    fault, message = faults()[number]

    def info(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    source = {"type": "hub", "repo": "cais/mmlu", "revision": "v9"}
    with pytest.raises(DataError, match=re.escape(f"cais/mmlu: {message}")) as caught:
        load_items("mmlu", choice(source), base=tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is fault


def test_offline_with_nothing_replaced(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cais/mmlu: cannot be reached: HF_HUB_OFFLINE is set"):
        load_items("mmlu", choice({"type": "hub", "repo": "cais/mmlu"}), base=tmp_path)


@pytest.mark.parametrize("missing", ["datasets", "huggingface_hub"])
def test_without_its_packages_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    message = (
        f"a source of type 'hub' needs the package '{missing}': install it from a clone with "
        "`.venv/bin/pip install -e '.[hub]'`"
    )
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        load(tmp_path)


def test_the_other_sources_do_not_load_its_packages() -> None:
    code = (
        "import sys; from pathlib import Path; from quantrial.study import ChoiceTask; "
        "from quantrial.tasks.sources import load_items; "
        "spec = ChoiceTask(kind='choice', workload='x', source={'type': 'bundled'}); "
        "load_items('quiz', spec, base=Path()); "
        "sys.exit(bool({'datasets', 'huggingface_hub', 'numpy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert done.returncode == 0


def test_nothing_is_printed(
    parquet: Layout, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import datasets

    parquet("data/test-00000-of-00001.parquet", ROWS, None)
    capfd.readouterr()
    load(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert datasets.is_progress_bar_enabled()


def test_what_reading_would_download_is_known_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets
    import huggingface_hub

    def info(_api: Any, _repo: str, *, revision: str | None, files_metadata: bool) -> Any:
        assert (revision, files_metadata) == (COMMIT, True)
        return SimpleNamespace(siblings=sizes)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    source = HubSource(type="hub", repo="cais/mmlu", revision=COMMIT)
    sizes = [SimpleNamespace(size=2000), SimpleNamespace(size=500)]
    assert _fetched(source, tmp_path) == (True, 2500)
    sizes = [SimpleNamespace(size=2000), SimpleNamespace(size=None)]
    assert _fetched(source, tmp_path) == (True, None)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", None)  # whatever it raises
    assert _fetched(source, tmp_path) == (True, None)

    (tmp_path / "own").mkdir()
    local = HubSource(type="hub", repo="own")
    assert _hub.is_there(local, tmp_path)
    for kept in ("hub/datasets--cais--mmlu", "datasets/cais___mmlu"):
        (tmp_path / kept).mkdir(parents=True)
        assert _hub.is_there(source, tmp_path)
        (tmp_path / kept).rmdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert _hub.is_there(source, tmp_path)


def test_a_data_set_is_fetched_after_a_question_or_a_call_never_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # loaded first: what is loaded below would keep what stands in the place of `load_items`
    import quantrial.running.prepare
    from quantrial.cli import consent

    study = write_study(tmp_path)
    data = yaml.safe_load(study.read_text())
    data["tasks"]["sums"]["source"] = {"type": "hub", "repo": "cais/mmlu"}
    study.write_text(yaml.safe_dump(data))
    read: list[str] = []
    monkeypatch.setattr(sources, "load_items", lambda name, *_args, **_kw: read.append(name))
    fetching = FetchedSource(lambda part: part.repo, lambda *_: bool(read), lambda *_: 3_000_000)
    monkeypatch.setattr(_hub, "HUB", dataclasses.replace(_hub.HUB, fetching=fetching))
    with pytest.raises(ConsentError, match=r"the data set cais/mmlu \(3 MB\)\. Fetch it\?"):
        consent.fetch_missing(study, yes=False)
    for command in (quantrial.plan, quantrial.run):
        with pytest.raises(DataError, match=r"not there yet: the data set cais/mmlu \(task sums\)"):
            command(study)
    assert read == []
    told: list[str] = []
    quantrial.fetch(study, listener=lambda step: told.append(step.model))
    assert (read, told) == (["sums"], ["the data set cais/mmlu"])
    quantrial.fetch(study)
    consent.fetch_missing(study, yes=False)
    assert read == ["sums"]
    read.clear()
    consent.fetch_missing(study, yes=True)
    assert read == ["sums"]
