"""Keys leave this machine only for servers that the user agreed to: a study may be a stranger's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantrial.cli import main
from quantrial.cli.consent import agree_to_keys
from quantrial.engines.options import KeySent
from quantrial.engines.options import keys_sent as keys_sent_by
from quantrial.errors import ConsentError
from quantrial.registry import OWN
from quantrial.study import load_study
from studies import write_study

SECRET = "k3y-of-another-service-9f2c"  # what a stranger's server would like to read
AWAY = "https://collect.invalid/v1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SOME_KEY", SECRET)
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    return tmp_path / "cache"


def study_of(folder: Path, **arm: Any) -> Path:
    arms = {"f16": {"model": "m", **arm}, "q4": {"model": "m4", **arm}}
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = write_study(folder)
    said = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(json.dumps(said | {"reference": "f16", "arms": arms}), "utf-8")
    return path


def openai(**options: Any) -> dict[str, Any]:
    return {"engine": "openai", "options": {"api_key_env": "SOME_KEY", **options}}


def keys_sent(path: Path) -> list[KeySent]:
    return keys_sent_by(load_study(path).arms)


@pytest.mark.parametrize(
    ("arm", "places"),
    [
        (openai(base_url=AWAY), [AWAY]),
        (openai(base_url=f"{AWAY}/"), [AWAY]),
        (openai(base_url="http://127.0.0.1:9/v1", replicas=[AWAY]), [AWAY]),
        (openai(base_url="http://127.0.0.1.collect.invalid/v1"),
         ["http://127.0.0.1.collect.invalid/v1"]),
        (openai(base_url="http://10.0.0.7:8000/v1"), ["http://10.0.0.7:8000/v1"]),
        (openai(base_url="http://127.0.0.1:9/v1"), []),
        (openai(base_url="http://localhost:9/v1"), []),
        (openai(base_url="http://[::1]:9/v1"), []),
        (openai(base_url=AWAY, api_key_env="NOT_SET"), []),
        (openai(base_url=AWAY, api_key_env=None), []),
        (openai(base_url=7), []),
    ],
)  # fmt: skip
def test_by_hand_which_keys_go_where(
    tmp_path: Path, arm: dict[str, Any], places: list[str]
) -> None:
    sent = keys_sent(study_of(tmp_path, **arm))
    assert [(one.variable, one.place) for one in sent if one.arm == "f16"] == [
        ("SOME_KEY", place) for place in places
    ]


def test_ollama_sends_its_own_key_to_whatever_host_a_study_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study_of(tmp_path, engine="ollama", options={"host": "https://collect.invalid"})
    assert keys_sent(path) == []
    monkeypatch.setenv("OLLAMA_API_KEY", SECRET)
    assert [(one.variable, one.place) for one in keys_sent(path)] == [
        ("OLLAMA_API_KEY", "https://collect.invalid:443")
    ] * 2
    assert keys_sent(study_of(tmp_path / "here", engine="ollama")) == []


def test_an_engine_of_another_package_says_where_it_sends_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_engine_with_a_key.py").write_text(
        "class Theirs:\n"
        "    @staticmethod\n"
        "    def sends_key(options, *, key):\n"
        "        return options['variable'], ['http://127.0.0.1:9', 'https://theirs.invalid/v2/']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(OWN["quantrial.engines"], "theirs", "their_engine_with_a_key:Theirs")
    path = study_of(tmp_path / "study", engine="theirs", options={"variable": "SOME_KEY"})
    sent = [(one.variable, one.place) for one in keys_sent(path)]
    assert sent == [("SOME_KEY", "https://theirs.invalid/v2")] * 2


@pytest.mark.parametrize("command", ["plan", "run", "prompts"])
def test_no_key_is_sent_before_it_was_agreed_to(
    command: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def reached(*_: object, **__: object) -> None:
        raise AssertionError("a server was asked")

    monkeypatch.setattr("quantrial.engines.make_engine", reached)
    path = study_of(tmp_path, **openai(base_url=AWAY))
    monkeypatch.setattr("sys.argv", ["quantrial", command, str(path)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"f16: the key in SOME_KEY to {AWAY}" in said
    assert "no key was sent" in said
    assert "--yes" in said
    assert SECRET not in said
    assert not (cache / "agreed-keys.json").exists()


def test_what_was_agreed_to_is_not_asked_again(tmp_path: Path, cache: Path) -> None:
    path = study_of(tmp_path, **openai(base_url=AWAY))
    agree_to_keys(path, yes=True)
    agree_to_keys(path, yes=False)
    kept = (cache / "agreed-keys.json").read_text("utf-8")
    assert json.loads(kept) == [["SOME_KEY", AWAY]]
    other = study_of(tmp_path / "other", **openai(base_url="https://elsewhere.invalid/v1"))
    with pytest.raises(ConsentError, match=r"SOME_KEY to https://elsewhere\.invalid/v1"):
        agree_to_keys(other, yes=False)


@pytest.mark.parametrize("kept", ["", "{", "[1]", '[["a"]]', "7", "[[1, 2, 3]]"])
def test_a_broken_memory_asks_again(tmp_path: Path, cache: Path, kept: str) -> None:
    cache.mkdir()
    (cache / "agreed-keys.json").write_text(kept)
    with pytest.raises(ConsentError):
        agree_to_keys(study_of(tmp_path, **openai(base_url=AWAY)), yes=False)
