"""Control tokens of a model's own vocabulary inside items: said at plan, and when a run begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from gguf import GGUFWriter, TokenType

import quantrial
from quantrial.engines.gguf_file import read_header
from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.ollama_server import Server
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import DataWarning
from quantrial.record_checks import data_findings
from studies import write_study

pytestmark = pytest.mark.usefixtures("undrawn")

TOKENS = ["<unk>", "<|im_end|>", "@@turn@@", "</fim>", "ab", "word"]
KINDS = [
    TokenType.UNKNOWN,
    TokenType.CONTROL,
    TokenType.CONTROL,
    TokenType.CONTROL,
    TokenType.CONTROL,
    TokenType.NORMAL,
]


def vocabulary(path: Path) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(KINDS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(tmp_path / "cache"))


def study(folder: Path, questions: list[str]) -> Path:
    vocabulary(folder / "a.gguf")
    (folder / "q.jsonl").write_text(
        "".join(
            json.dumps({"question": q, "options": ["a", "b"], "answer": 0}) + "\n"
            for q in questions
        )
    )
    written = {
        "study": "tokens",
        "reference": "f16",
        "arms": {name: {"model": "a.gguf"} for name in ("f16", "q4")},
        "tasks": {
            "quiz": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "q.jsonl"},
            }
        },
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


def test_control_tokens_of_a_vocabulary_are_those_of_that_kind(tmp_path: Path) -> None:
    header = read_header(vocabulary(tmp_path / "a.gguf"))
    assert header.control_tokens == {"<|im_end|>", "@@turn@@", "</fim>", "ab"}


def test_an_ollama_server_tells_them_where_it_tells_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = {"tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.token_type": [int(k) for k in KINDS]}
    engine = OllamaEngine("m", {"host": "127.0.0.1:9"})
    monkeypatch.setattr(Server, "show", lambda *_: ({}, facts))
    assert engine.special_tokens() == {"<|im_end|>", "@@turn@@", "</fim>", "ab"}
    for nothing in ({}, {"tokenizer.ggml.tokens": None}, {"tokenizer.ggml.tokens": "x"}):
        monkeypatch.setattr(Server, "show", lambda *_, told=nothing: ({}, told))
        assert engine.special_tokens() == frozenset()


def test_plan_names_an_item_with_a_control_token_of_the_model(tmp_path: Path) -> None:
    path = study(tmp_path, ["What is it?", "Say @@turn@@ now", "A </fim>?", "ab word <unk>"])
    said = [one for one in quantrial.plan(path).warnings if "control token" in one]
    assert said == [
        "tasks.quiz: 2 items hold what the model of f16 reads as a control token, not as text "
        "(first: q.jsonl:2, '@@turn@@'); take it out, or write it otherwise"
    ]


def test_what_every_model_reads_so_is_said_once(tmp_path: Path) -> None:
    path = study(tmp_path, ["Say <|im_end|> now"])
    with pytest.warns(DataWarning, match="1 item holds a control token"):
        plan = quantrial.plan(path)
    assert not [one for one in plan.warnings if "control token" in one]


def test_a_run_warns_of_it_before_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an engine that knows its vocabulary; one that does not says nothing."""
    path = write_study(tmp_path)
    special = frozenset({"number 3 in"})  # stands in one sentence of the small study
    monkeypatch.setattr(ScriptedEngine, "special_tokens", lambda _: special, raising=False)
    message = (
        r"tasks\.names: 1 item holds what the model of f16 .*sentences\.jsonl:4, 'number 3 in'"
    )
    with pytest.warns(DataWarning, match=message):
        quantrial.run(path, out=tmp_path / "run")
    quantrial.analyze(tmp_path / "run")
    cautions = [one["text"] for one in quantrial.decide(tmp_path / "run")["cautions"]]
    [said] = [text for text in cautions if "control token" in text]
    assert said.startswith("Of the items of names, 1 holds what the model of f16 reads as a ")
    assert "sentences.jsonl:4, 'number 3 in'" in said


def test_a_report_names_what_was_odd_among_the_items(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    rows = (tmp_path / "questions.jsonl").read_text().splitlines()
    other = json.loads(rows[1]) | {"answer": 3}
    odd = {"question": "Is <|im_end|> one?", "options": ["y", "n"], "answer": 0, "subject": "s0"}
    more = [json.dumps(other), json.dumps(odd)]
    (tmp_path / "questions.jsonl").write_text("\n".join([*rows, *more]) + "\n")
    with pytest.warns(DataWarning) as caught:
        quantrial.run(path, out=tmp_path / "run")
    said = {str(one.message)[:45] for one in caught}
    assert {one.split(": ")[1][:11] for one in said} == {"1 row asks ", "1 item hold"}
    quantrial.analyze(tmp_path / "run")
    cautions = [one["text"] for one in quantrial.decide(tmp_path / "run")["cautions"]]
    [contradiction] = [text for text in cautions if "asks the same" in text]
    assert "Of the rows that sums is drawn from, 1 has another answer" in contradiction
    assert "questions.jsonl:2 and questions.jsonl:25" in contradiction
    [token] = [text for text in cautions if "control token" in text]
    assert "questions.jsonl:26, '<|im_end|>'" in token
    quantrial.report(tmp_path / "run")
    read = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "\\<\\|im_end\\|\\>" in read
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "questions.jsonl:2 and questions.jsonl:25" in page
    assert "questions.jsonl:26 and &lt;|im_end|&gt;" in page


@pytest.mark.parametrize(
    ("places", "many"), [(1, "1 holds"), (2, "2 hold"), (20, "20 or more hold")]
)
def test_what_is_odd_is_counted_as_far_as_a_manifest_keeps_it(places: int, many: str) -> None:
    sources = {"quiz": {"control_tokens": [[f"q:{i}", "</s>"] for i in range(places)]}, "old": {}}
    [(name, text)] = data_findings(sources)
    assert name == "quiz.control_tokens"
    assert f"Of the rows that quiz is drawn from, {many} a control token" in text


def test_nothing_odd_is_no_check() -> None:
    assert list(data_findings({"quiz": {"rows": 3, "duplicates": []}, "imported": {}})) == []
