"""No key of a server gets into a file, a message or a log, whatever the server does with it."""

from __future__ import annotations

import base64
import json
import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from command import command as forked
from quantrial.engines import Request, make_engine
from quantrial.errors import EngineError, QuantrialError, QuantrialWarning, StudyError
from quantrial.running.prepare import OpenStudy
from quantrial.running.runner import RunResult, run_study
from quantrial.running.waiting import Clock
from quantrial.study import Arm, parse_study
from servers.echoing import EchoingServer
from studies import write_study

KEY = "sk-qT7/xY+9zKfmN4pL~vB8wR2'cD\"5eG&h"
SHORT = 8


class Sleepless(Clock):
    def sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EchoingServer, EchoingServer]]:
    monkeypatch.setenv("THEIR_KEY", KEY)
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    with EchoingServer() as one, EchoingServer() as other:
        yield one, other


def study_over(
    folder: Path, servers: tuple[EchoingServer, EchoingServer], engine: str = "openai", **more: Any
) -> Path:
    options = [
        {"base_url": server.url, "api_key_env": "THEIR_KEY", **more}
        if engine == "openai"
        else {"host": server.root, "together": True, **more}
        for server in servers
    ]
    arms = {
        name: {"engine": engine, "model": "m", "options": given}
        for name, given in zip(("f16", "q8_0"), options, strict=True)
    }
    return write_study(folder, arms=arms, design={"repeat_reference": 0, "logprobs": 2})


def run(study: Path, folder: Path) -> RunResult:
    text = study.read_text()
    return run_study(
        OpenStudy(parse_study(text), text, study.parent), folder=folder, clock=Sleepless()
    )


def parts_in(text: str, key: str = KEY) -> list[str]:
    """List what of a key stands in a text: 8 characters in a row, in any of its shapes."""
    small = text.lower()
    forms = [key, quote(key, safe=""), base64.b64encode(b"user:" + key.encode()).decode()[8:]]
    forms += [base64.urlsafe_b64encode(key.encode()).decode(), json.dumps(key)[1:-1]]
    return [
        form[at : at + SHORT]
        for form in forms
        for at in range(len(form) - SHORT + 1)
        if form[at : at + SHORT].lower() in small
    ]


def written(folder: Path) -> dict[str, str]:
    return {
        str(path): path.read_bytes().decode("latin-1")
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "responses").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        ("openai", {"stream": True}),
        ("openai", {"stream": False}),
        ("openai", {"stream": True, "server": "llama.cpp"}),
        ("ollama", {}),
    ],
)
def test_a_server_that_repeats_the_key_everywhere_gets_no_part_of_it_into_a_run(
    servers: tuple[EchoingServer, EchoingServer],
    tmp_path: Path,
    engine: str,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    study = study_over(tmp_path / "study", servers, engine, **options)
    servers[0].statuses = [500, 429, 429, 500, 401, 404, 400]
    with pytest.warns(QuantrialWarning, match="held parts of a key") as warned:
        result = run(study, tmp_path / "run")
    assert result.recorded == result.planned
    kept = lines(tmp_path / "run")
    assert sum(one["status"] == "ok" for one in kept) > 30
    assert {one["status"] for one in kept} > {"ok"}
    ok = [one for one in kept if one["status"] == "ok"]
    assert {one["output"] for one in ok} == {"A"}
    assert all("***" in one["finish_reason"] and "***" in str(one["logprobs"]) for one in ok)
    assert any("***" in one["error"] for one in kept if one["error"])
    for path, text in written(tmp_path / "run").items():
        assert not parts_in(text), path
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert any("held parts of a key" in note for note in manifest["notes"])
    said = [str(one.message) for one in warned]
    assert caplog.records
    for text in (*said, caplog.text, *capfd.readouterr()):
        assert not parts_in(text)


def test_an_answer_that_repeats_the_whole_key_is_a_fault_of_any_engine(
    servers: tuple[EchoingServer, EchoingServer], tmp_path: Path
) -> None:
    for server in servers:
        server.in_output = True
    for engine in ("openai", "ollama"):
        study = study_over(tmp_path / engine, servers, engine)
        with pytest.raises(EngineError, match="repeats the API key") as caught:
            run(study, tmp_path / f"{engine}-run")
        for link in traceback.TracebackException.from_exception(caught.value).format():
            assert not parts_in(link)
        for path, text in written(tmp_path / f"{engine}-run").items():
            assert not parts_in(text), path


def command(*arguments: str, **environment: str) -> str:
    env = {**os.environ, **environment, "COLUMNS": "70"}
    done = forked(*arguments, env=env, allow=False)
    return done.stdout + done.stderr


def test_no_command_prints_or_writes_a_part_of_a_key(
    servers: tuple[EchoingServer, EchoingServer], tmp_path: Path
) -> None:
    study = study_over(tmp_path / "study", servers)
    cache = {"QUANTRIAL_CACHE": str(tmp_path / "cache"), "THEIR_KEY": KEY}
    folder = str(tmp_path / "run")
    servers[0].statuses = [404]
    said = [command("plan", str(study), "--probe", **cache)]
    servers[0].statuses = [400, 429]
    said += [
        command("plan", str(study), "--json", **cache),
        command("prompts", str(study), **cache),
        command("run", str(study), "--out", folder, **cache),
        command("analyze", folder, **cache),
        command("decide", folder, **cache),
        command("report", folder, **cache),
        command("verify", folder, **cache),
    ]
    servers[1].model = "another"
    said += [command("plan", str(study), **cache)]
    assert "***" in said[0]
    assert "***" in said[-1]
    assert (tmp_path / "run" / "report.md").is_file(), said
    for text in said:
        assert text
        assert not parts_in(text), text
    for path, text in written(tmp_path).items():
        assert not parts_in(text), path


def test_no_link_of_a_chain_of_errors_holds_a_key(
    servers: tuple[EchoingServer, EchoingServer],
) -> None:
    options = {"base_url": servers[0].url, "api_key_env": "THEIR_KEY"}
    arms = [
        Arm(engine="openai", model="m", options=options),
        Arm(engine="openai", model="m", options={**options, "stream": False}),
        Arm(engine="ollama", model="m", options={"host": servers[0].root}),
    ]
    for arm in arms:
        for status in (400, 401, 404, 429, 500):
            servers[0].statuses = [status] * 3
            engine = make_engine("a", arm, base=Path(), seed=0)
            with pytest.raises(EngineError) as caught:
                engine.ask(Request(text="x"))
            engine.close()
            links: list[BaseException] = [caught.value]
            while links:
                link = links.pop()
                links += [one for one in (link.__cause__, link.__context__) if one]
                assert not parts_in(f"{link} {link!r} {vars(link)}".replace("\\", ""))


@pytest.mark.parametrize(
    ("variable", "value", "options"),
    [
        ("THEIR_KEY", "sk-0123456789\nsk-9876543210", {}),
        ("THEIR_KEY", "sk-0123456789é", {}),
        ("THEIR_KEY", " \n", {}),
        ("THEIR_KEY", KEY, {"base_url": f"ftp://me:{KEY}@host/v1"}),
        ("THEIR_KEY", KEY, {"base_url": f"http://me:{KEY}@host/v1"}),
        ("THEIR_KEY", KEY, {"base_url": f"http://host/v1?api_key={KEY}"}),
        ("THEIR_KEY", KEY, {"base_url": f"http://[::1/v1?{KEY}"}),
        ("THEIR_KEY", KEY, {"extra_body": {"api_key": KEY}}),
        ("THEIR_KEY", KEY, {"extra_body": {"litellm": [{"Authorization": f"Bearer {KEY}"}]}}),
        ("THEIR_KEY", KEY, {"extra_body": {"note": "sk-proj-0123456789abcdefghij"}}),
        ("THEIR_KEY", KEY, {"extra_body": {"note": f"so {KEY}"}}),
    ],
)
def test_a_study_that_holds_a_key_or_names_one_that_cannot_be_sent_is_refused_without_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    options: dict[str, Any],
) -> None:
    monkeypatch.setenv(variable, value)
    with EchoingServer() as one, EchoingServer() as other:
        study = study_over(tmp_path, (one, other), **options)
        if "base_url" in options:
            text = study.read_text().replace(one.url, options["base_url"], 1)
            study.write_text(text)
        with pytest.raises(StudyError) as caught:
            run(study, tmp_path / "run")
    assert not parts_in(str(caught.value))
    assert not parts_in(str(caught.value), value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "host", [f"http://u:{KEY[:7]}@h:1", "ftp://u:sk-0123456789@h", "http://h:1/?api_key=0123456789"]
)
def test_an_address_of_ollama_that_holds_a_key_is_not_repeated(tmp_path: Path, host: str) -> None:
    with pytest.raises(StudyError) as caught:
        make_engine(
            "a", Arm(engine="ollama", model="m", options={"host": host}), base=tmp_path, seed=0
        )
    assert "0123456" not in str(caught.value)
    assert KEY[:7] not in str(caught.value)


def test_a_key_in_a_comment_of_the_study_is_refused(
    servers: tuple[EchoingServer, EchoingServer], tmp_path: Path
) -> None:
    study = study_over(tmp_path, servers)
    study.write_text(study.read_text() + f"\n# {KEY}\n")
    with pytest.raises(QuantrialError, match="holds the key") as caught:
        run(study, tmp_path / "run")
    assert not parts_in(str(caught.value))
    assert not (tmp_path / "run").exists()


def test_words_that_the_study_shares_with_a_key_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "question-of-Nobody-came-at-all"  # items say "Nobody came at 2."; "Nobody-" they do not
    monkeypatch.setenv("THEIR_KEY", "f16-reference-model")
    with EchoingServer("reference-model") as one, EchoingServer("reference-model") as other:
        study = study_over(tmp_path, (one, other))
        study.write_text(study.read_text().replace("model: m\n", "model: reference-model\n"))
        with pytest.warns(QuantrialWarning, match="held parts of a key"):
            run(study, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert {arm["model"] for arm in manifest["arms"].values()} == {"reference-model"}
    assert key  # a word alone is no key


def test_a_plan_says_that_a_key_is_too_short_to_be_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantrial.running.planning import plan_study

    with EchoingServer() as one, EchoingServer() as other:
        study = parse_study(study_over(tmp_path, (one, other)).read_text())
        for key, said in (("abc-77", True), ("EMPTY", False), ("abcdef-77", False)):
            monkeypatch.setenv("THEIR_KEY", key)
            warnings = plan_study(OpenStudy(study, "", tmp_path)).warnings
            found = [text for text in warnings if "THEIR_KEY has fewer than 8" in text]
            assert len(found) == said
            assert key not in "".join(warnings).replace("THEIR_KEY", "") or key == "EMPTY"


@pytest.mark.parametrize("kind", ["generic", "llama.cpp"])  # the latter is held to a fingerprint
def test_a_run_over_a_server_that_repeats_the_key_goes_on_in_the_next_session(
    servers: tuple[EchoingServer, EchoingServer], tmp_path: Path, kind: str
) -> None:
    study = study_over(tmp_path / "study", servers, server=kind)
    with pytest.warns(QuantrialWarning, match="held parts of a key"):
        run(study, tmp_path / "run")
    path = tmp_path / "run" / "responses" / "sums.q8_0.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.warns(QuantrialWarning, match="1 answer held parts of a key"):
        again = run(study, tmp_path / "run")
    assert (again.asked, again.faulted) == (1, 0)
    for file, text in written(tmp_path / "run").items():
        assert not parts_in(text), file


def test_the_worker_of_the_embedded_engine_gets_its_key_by_no_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from quantrial.engines import llamacpp_process
    from quantrial.errors import EngineStartError

    started: list[Any] = []

    def popen(command: Any, **given: Any) -> Any:
        started.append((command, given.get("env")))
        raise OSError("no more")

    tokens: list[str] = []
    monkeypatch.setattr("subprocess.Popen", popen)
    monkeypatch.setattr(llamacpp_process, "hide", lambda token, owner: tokens.append(token))
    with pytest.raises(EngineStartError):
        llamacpp_process.Worker({"path": "x"})
    (token,) = tokens
    assert started
    assert token not in repr(started)


def test_a_token_of_the_hub_is_in_no_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from quantrial.engines.model_files import HubFile
    from quantrial.tasks.sources import _hub

    token = "hf_qWzKvBnMxLpTyRjGhFdS"
    monkeypatch.setenv("HF_TOKEN", token)

    def refused(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{'x' * 180} 401 for Bearer {token}\nat once")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refused)
    monkeypatch.setattr(HubFile, "bytes", lambda _: None)
    with pytest.raises(QuantrialError) as of_file:
        list(HubFile.named("hf://org/repo/m.gguf").fetch())
    with pytest.raises(QuantrialError) as of_data, _hub._translated("org/repo", "read"):
        refused()
    for caught in (of_file, of_data):
        text = "".join(traceback.TracebackException.from_exception(caught.value).format())
        assert not parts_in(text, token)
        assert "***" in str(caught.value) or len(str(caught.value)) > 150


THEIRS = """
import os
from quantrial.engines import Reply
from quantrial.engines.scripted import ScriptedEngine

class Theirs(ScriptedEngine):
    def __init__(self, model, key):
        super().__init__({"": "A"}, model=model, seed=0)
        self.key = key

    def ask(self, request):
        if request.text == "raise":
            raise RuntimeError(f"401 {self.key}")
        return Reply("A", self.key, host=f"at {self.key[:12]}", thought=self.key[4:])

def make(model, options, *, base, seed):
    return Theirs(model, os.environ[options["token_env"]])
"""


def test_keys_of_an_engine_of_a_third_party_are_hidden_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantrial.running.asking import attempt

    key = "theirKqWzVtYpLmNbRd"
    (tmp_path / "engine_with_key.py").write_text(THEIRS)
    info = tmp_path / "with_key-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: with-key\nVersion: 1.0\n")
    entry = "[quantrial.engines]\nwithkey = engine_with_key:make\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("THEIR_KEY", key)
    arm = Arm(engine="withkey", model="m", options={"token_env": "THEIR_KEY"})
    engine = make_engine("a", arm, base=tmp_path, seed=0)
    for text in ("raise", "answer"):
        found = attempt(engine, Request(text=text))
        assert "***" in repr(found)
        assert not parts_in(repr(found), key)
    for options in ({"api_key": key}, {"headers": {"Authorization": f"Bearer {key}"}}):
        wrong = Arm(engine="withkey", model="m", options={"token_env": "THEIR_KEY", **options})
        with pytest.raises(StudyError, match=r"arms\.a\.options\..*a key does not stand") as caught:
            make_engine("a", wrong, base=tmp_path, seed=0)
        assert not parts_in(str(caught.value), key)
