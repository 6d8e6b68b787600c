"""Items made from a seed: no two alike, right answers right in any words, damage found."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import quantrial
from command import command
from quantrial.engines.base import Reply, Request
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import StudyError
from quantrial.generators.base import Draw, Generator
from quantrial.generators.languages import SENTENCES
from quantrial.generators.study import study_text
from quantrial.records import Item, canonical_json
from quantrial.registry import GENERATORS, OWN
from quantrial.study import load_study, parse_study
from quantrial.tasks import Task, make_task
from quantrial.tasks.sources import load_items

NAMES = tuple(OWN["quantrial.generators"])
ARMS = "arms: {a: {engine: scripted, model: a}, b: {engine: scripted, model: b}}\nreference: a\n"


def made(name: str, count: int = 60) -> tuple[Generator, Task, list[tuple[dict[str, Any], Item]]]:
    """Return a generator, its task, and each row with the item that a study has of it."""
    generator: Generator = GENERATORS.load(name)
    preset = f"study: x\n{ARMS}"
    study = parse_study(study_text(name, preset, count=count))
    spec = study.tasks[name]
    items = {one.id: one for one in load_items(name, spec, base=Path()).items}
    task = make_task(name, spec, items=list(items.values()))
    return generator, task, [(row, items[row["id"]]) for row in generator.rows(count, 0)]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_right_in_any_words_and_damage_is_wrong(name: str) -> None:
    generator, task, pairs = made(name)
    for row, item in pairs:
        draw = Draw("test", row["id"])
        assert task.is_right(task.score(item, generator.right(row))), row
        assert task.is_right(task.score(item, generator.reworded(row, draw))), row
        assert not task.is_right(task.score(item, generator.damaged(row, draw))), row


@pytest.mark.parametrize("name", NAMES)
def test_no_two_items_are_alike_and_groups_take_turns(name: str) -> None:
    _, _, pairs = made(name, 120)
    contents = {canonical_json([item.content, item.gold]) for _, item in pairs}
    assert len(contents) == len(pairs) == 120
    groups = Counter(item.metadata["group"] for _, item in pairs)
    assert set(groups.values()) == {120 // len(groups)}
    # what a generator notes for itself could give the answer away
    assert not any(key.startswith("_") for _, i in pairs for key in (*i.content, *i.metadata))


@pytest.mark.parametrize("name", NAMES)
def test_items_follow_from_the_seed_alone(name: str) -> None:
    generator: Generator = GENERATORS.load(name)
    first, again, other = (generator.rows(8, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert generator.rows(12, 0)[:8] == first


def test_draws_are_those_of_sha256() -> None:
    # `printf 'a\n1\n1' | sha256sum` begins so
    assert Draw("a", 1).share() == 0x90A62F263C81 / 2**48
    draw = Draw("b")
    assert {draw.number(1, 3) for _ in range(60)} == {1, 2, 3}
    assert sorted(draw.some("abc", 3)) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["math", "tools"])
def test_a_control_is_found_worse_and_a_twin_is_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, at the default size; the rates over 200 seeds are in the benchmarks."""
    generator, task, pairs = made(name, 300)
    rows = {task.prompt(item).messages[-1][1]: row for row, item in pairs}

    def asked(self: ScriptedEngine, request: Request) -> Reply:
        row = rows[request.messages[-1].content]
        says = {"control": generator.control, "twin": generator.twin}.get(self._model)
        return Reply(generator.right(row) if says is None else says(row, seed=3))

    monkeypatch.setattr(ScriptedEngine, "ask", asked)
    arms = "".join(
        f"  {arm}: {{engine: scripted, model: {arm}}}\n" for arm in ("right", "control", "twin")
    )
    preset = f"study: x\nreference: right\narms:\n{arms}"
    (tmp_path / "study.yaml").write_text(study_text(name, preset, count=300))
    found = quantrial.trial(tmp_path / "study.yaml")
    assert found.comparison(candidate="control").verdict == "worse"
    assert found.comparison(candidate="twin").verdict in ("equivalent", "non_inferior")
    hurt = {item.metadata["group"] for row, item in pairs if row["group"] in generator.hurt}
    damaged = [row for row, _ in pairs if generator.control(row, seed=3) != generator.right(row)]
    assert {row["group"] for row in damaged} == hurt
    assert 8 <= len(damaged) <= 30  # 6 % of 300 are 18; 3 standard deviations


@pytest.mark.parametrize("name", NAMES)
def test_init_writes_a_study_that_plan_takes(name: str, tmp_path: Path) -> None:
    words = () if name in ("long-context", "instructions", "languages") else ("--generate", "40")
    path = tmp_path / "study.yaml"
    said = command("init", path, "--workload", name, *words)
    assert said.returncode == 0, said.stderr
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    plan = quantrial.plan(load_study(path))
    assert plan.tasks[0].items == (40 if words else 300)


def test_a_small_cache_is_an_arm_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    command("init", path, "--workload", "long-context", "--generate", "6")
    said = command("plan", path, "--no-probe")
    assert "f16_cache_q4_0" in said.stdout
    assert said.returncode == 0
    assert "nothing to compare" not in said.stdout
    assert "differ in more than" not in said.stdout


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="did you mean 'languages'"):
        parse_study_of("language")
    with pytest.raises(ValueError, match="there are no 3 different items of the group 'one'"):
        Generator({}, ("one",), lambda g, d: {"gold": 1}, str, str, str, (), "").rows(3, 0)  # type: ignore[arg-type]
    said = command(
        "init", tmp_path / "s.yaml", "--workload", "math", "--generate", "5", "--items", "x"
    )
    assert (said.returncode, "--items" in said.stderr) == (2, True)


def parse_study_of(name: str) -> None:
    text = f"study: x\n{ARMS}tasks: {{t: {{kind: text, workload: w, prompt: p, score: [exact], "
    study = parse_study(f"{text}source: {{type: generated, items: {name}}}}}}}")
    load_items("t", study.tasks["t"], base=Path())


BACK = tomllib.loads((Path(__file__).parents[1] / "data" / "languages_back.toml").read_text())
# what a question says: one word of each
FACTS = {
    "sum": ["books", "table desk", "box crate", "many number"],
    "rest": ["mina", "coins", "gives gave", "brother", "many", "left still"],
    "rows": ["hall", "rows", "each", "many number", "chairs"],
    "two": ["train", "passengers", "station", "off", "on", "many number", "now"],
    "ask": ["answer", "number", "only alone"],
}


@pytest.mark.parametrize("language", [one for one in SENTENCES if one != "English"])
def test_a_sentence_says_the_same_after_a_translation_back(language: str) -> None:
    assert BACK[language].keys() == SENTENCES[language].keys()
    for kind, text in SENTENCES[language].items():
        back, english = BACK[language][kind], SENTENCES["English"][kind]
        numbers = [re.findall(r"\{[abc]\}", one) for one in (text, back, english)]
        assert numbers[0] == numbers[1] == numbers[2], (language, kind)
        words = re.findall(r"\{[abc]\}|\w+", back.lower())
        for wanted in FACTS[kind]:
            assert any(word in words for word in wanted.split()), (language, kind, wanted)
            assert any(word in english.lower() for word in wanted.split()), (kind, wanted)


def test_back_translations_are_of_these_very_sentences() -> None:
    """A sentence that changes needs a new translation back, and its hash here."""
    text = "\n".join(
        f"{language}.{kind}={said}"
        for language, own in SENTENCES.items()
        for kind, said in own.items()
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "c0e32efdf924d5ae"
