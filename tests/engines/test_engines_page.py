"""The page on engines says what the code does: options, defaults, abilities."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantrial.engines import Engine, llamacpp, ollama, openai
from quantrial.engines.openai_wire import SERVERS
from quantrial.engines.options import Option
from quantrial.study import Arm

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
OPTIONS: dict[str, dict[str, Option]] = {
    "llamacpp": llamacpp._OPTIONS,
    "openai": openai._OPTIONS,
    "ollama": ollama._OPTIONS,
}
URL = "http://127.0.0.1:1/v1"


def rows(section: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0] if section else PAGE
    table = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in table[2:]]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_described_with_its_default_and_no_other(name: str) -> None:
    described: dict[str, str] = {}
    for option, default, *_ in rows(name):
        for one in re.findall(r"`(\w+)`", option):
            described[one] = default
    assert described.keys() == OPTIONS[name].keys()
    for option, said in described.items():
        default = OPTIONS[name][option].default
        if isinstance(default, bool):
            assert said == str(default).lower()
        elif default not in (None, [], {}):
            assert said.strip("`") == str(default)


def test_the_abilities_are_those_of_the_engines() -> None:
    table = {row[0].split(" ")[0]: row[1:] for row in rows("") if len(row) == 4}
    embedded, two = (llamacpp.LlamaCppEngine("m", {"slots": n}).abilities for n in (1, 2))
    there: Engine = ollama.OllamaEngine("m")
    for ability in ("grammar", "schema", "logprobs", "exact_length", "fresh"):
        cells = table[ability]
        assert (cells[0] == "yes") == (ability in embedded)
        servers = {name for name, can in SERVERS.items() if ability in can}
        assert (cells[1] == "yes") == (servers == SERVERS.keys())
        if cells[1] != "yes":
            assert set(re.findall(r"`(?:server: )?([\w.-]+)`", cells[1])) == servers
        assert (cells[2] == "yes") == (ability in there.abilities)
    assert table["parallel"] == ["with `slots` above 1", "yes, but `llama-cpp-python`", "yes"]
    assert two - embedded == {"parallel"}
    alone = {name for name, can in SERVERS.items() if "parallel" not in can}
    assert alone == {"llama-cpp-python"}
    assert "parallel" in there.abilities


def test_the_arms_of_the_page_are_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    from quantrial.engines import make_engine

    monkeypatch.setenv("MY_KEY", "k")
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    arms: dict[str, Any] = {
        k: a for block in blocks for k, a in yaml.safe_load(block)["arms"].items()
    }
    made = {make_engine(n, Arm(**arm), base=Path(), seed=0).name for n, arm in arms.items()}
    assert made == set(OPTIONS)
