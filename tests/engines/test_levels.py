"""Weights that were quantized before: known by records, and by the values themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from quantrial.cli import main
from quantrial.commands import provision
from quantrial.engines.gguf_file import read_header
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.model_files import describe_file
from quantrial.engines.requantize import made_file
from quantrial.engines.weights import levels_of
from quantrial.errors import QuantrialWarning

WriteGguf = Callable[..., Path]
Array = NDArray[np.float32]
PLAIN = (Type.F32, Type.F16, Type.BF16)
# bytes of a super-block of 256, and where its scales in half precision stand
K_QUANTS = {
    Type.Q2_K: (84, (80, 82)),
    Type.Q3_K: (110, (108,)),
    Type.Q4_K: (144, (0, 2)),
    Type.Q5_K: (176, (0, 2)),
    Type.Q6_K: (210, (208,)),
}


def trained(seed: int = 0, shape: tuple[int, int] = (64, 512)) -> Array:
    """Weights as training leaves them: no two alike."""
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


def through(kind: Type, seed: int = 0) -> Array:
    """The values that weights of a type have."""
    if kind not in K_QUANTS:
        return dequantize(quantize(trained(seed), kind), kind)
    size, scales = K_QUANTS[kind]
    blocks = np.random.default_rng(seed).integers(0, 256, (128, size), dtype=np.uint8)
    for at in scales:
        blocks[:, at : at + 2] = np.frombuffer(np.float16(2e-4).tobytes(), np.uint8)
    return dequantize(blocks, kind).reshape(64, 512)


def float8(values: Array) -> Array:
    """Round to three bits of mantissa over the exponents of E4M3, as some models are published."""
    scale = np.abs(values).max() / 448
    exponents = np.maximum(np.floor(np.log2(np.abs(values) / scale + 1e-30)), -6)
    step = 2.0 ** (exponents - 3) * scale
    return np.asarray(np.round(values / step) * step, np.float32)


def nf4(values: Array) -> Array:
    """Take the nearest value of NF4 (Dettmers et al. 2023, appendix E) in blocks of 64."""
    book = np.array(
        [
            *(-1, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0),
            *(0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.723, 1),
        ]
    )
    blocks = values.reshape(-1, 64)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    nearest = np.abs((blocks / largest)[:, :, None] - book).argmin(axis=2)
    return np.asarray(book[nearest] * largest, np.float32).reshape(values.shape)


def iq4_nl(values: Array) -> Array:
    """Take the nearest value of IQ4_NL (`kvalues_iq4nl` in ggml-common.h) in blocks of 32."""
    book = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
    blocks = values.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    nearest = np.abs((blocks / scale)[:, :, None] - book).argmin(axis=2)
    return np.asarray(book[nearest] * scale, np.float32).reshape(values.shape)


def in_groups_of_128(values: Array) -> Array:
    """Round to 16 levels between the ends of each group of 128, as GPTQ and AWQ store weights."""
    groups = values.reshape(-1, 128)
    low = groups.min(axis=1, keepdims=True)
    step = (groups.max(axis=1, keepdims=True) - low) / 15
    return np.asarray(np.round((groups - low) / step) * step + low, np.float32).reshape(
        values.shape
    )


def found(path: Path) -> tuple[int, int] | None:
    before = levels_of(path, read_header(path))
    return None if before is None else (before.levels or 0, before.block or 0)


@pytest.mark.parametrize("stored", PLAIN)
@pytest.mark.parametrize(
    ("was", "expected"),
    [
        (Type.Q4_0, (16, 32)),
        (Type.Q4_1, (16, 32)),
        (Type.Q4_K, (16, 32)),
        (Type.Q5_0, (32, 32)),
        (Type.MXFP4, (32, 32)),
        (Type.Q3_K, (64, 16)),
        (Type.Q2_K, (64, 16)),
        (Type.Q8_0, (255, 32)),
    ],
)
def test_values_that_lie_on_levels_are_seen_in_every_plain_type(
    tmp_path: Path, write_gguf: WriteGguf, was: Type, stored: Type, expected: tuple[int, int]
) -> None:
    weights = {f"blk.{i}.w": through(was, i) for i in range(3)}
    assert found(write_gguf(tmp_path / "m.gguf", weights, kind=stored)) == expected


@pytest.mark.parametrize("stored", [Type.F32, Type.F16])
@pytest.mark.parametrize("was", [Type.Q5_1, Type.Q5_K, Type.Q6_K])
def test_finer_levels_are_seen_where_the_type_keeps_them(
    tmp_path: Path, write_gguf: WriteGguf, was: Type, stored: Type
) -> None:
    weights = {"blk.0.w": through(was)}
    assert found(write_gguf(tmp_path / "m.gguf", weights, kind=stored)) is not None


@pytest.mark.parametrize("was", [Type.Q4_0, Type.Q4_1, Type.Q4_K])
def test_a_q8_0_made_of_four_bits_is_seen(tmp_path: Path, write_gguf: WriteGguf, was: Type) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"w": through(was)}, kind=Type.Q8_0)
    assert found(path) == (16, 32)


@pytest.mark.parametrize("stored", [*PLAIN, Type.Q8_0])
@pytest.mark.parametrize(
    ("rounded", "even"), [(nf4, False), (iq4_nl, False), (in_groups_of_128, True)]
)
def test_other_ways_to_four_bits_are_seen(
    tmp_path: Path,
    write_gguf: WriteGguf,
    rounded: Callable[[Array], Array],
    even: bool,
    stored: Type,
) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"w": rounded(trained())}, kind=stored)
    before = levels_of(path, read_header(path))
    assert before is not None
    assert (before.levels, before.even) == (16, even)


NATURAL: dict[str, Callable[[], Array]] = {
    "trained": trained,
    "heavy tails": lambda: np.asarray(
        np.random.default_rng(1).standard_t(3, (64, 512)) * 0.02, np.float32
    ),
    "half of them pruned": lambda: np.where(np.abs(trained()) < 0.0135, 0, trained()),
    "two of four pruned": lambda: trained() * np.tile([1, 0, 0, 1], (64, 128)).astype(np.float32),
    "nine of ten pruned": lambda: np.where(np.abs(trained()) < 0.033, 0, trained()),
    "published in eight bits of floating point": lambda: float8(trained()),
    "small": lambda: trained() * np.float32(1e-4),
    "all zero": lambda: np.zeros((64, 512), np.float32),
    "all one": lambda: np.ones((64, 512), np.float32),
    "ternary": lambda: np.sign(np.round(trained() * 30)).astype(np.float32),
    "a row repeated": lambda: np.tile(trained(shape=(1, 512)), (64, 1)),
    "counting": lambda: np.arange(64 * 512, dtype=np.float32).reshape(64, 512) % 3,
}


@pytest.mark.parametrize("stored", [*PLAIN, Type.Q8_0])
@pytest.mark.parametrize("what", NATURAL)
def test_weights_that_were_not_quantized_are_not_said_to_be(
    tmp_path: Path, write_gguf: WriteGguf, what: str, stored: Type
) -> None:
    weights = {f"blk.{i}.w": NATURAL[what]() for i in range(2)}
    assert found(write_gguf(tmp_path / "m.gguf", weights, kind=stored)) is None


def test_most_tensors_have_to_lie_on_levels(tmp_path: Path, write_gguf: WriteGguf) -> None:
    """Experts in four bits among other weights are how some models were published."""
    some = {"a.w": trained(1), "b.w": trained(2), "c.w": through(Type.Q4_0)}
    assert found(write_gguf(tmp_path / "some.gguf", some)) is None
    most = {**some, "d.w": through(Type.Q4_1), "e.w": through(Type.Q4_0, 3)}
    assert found(write_gguf(tmp_path / "most.gguf", most)) == (16, 32)


@pytest.mark.parametrize(
    "weights",
    [
        {"w": through(Type.Q4_0)[:4, :32]},
        {"w": through(Type.Q4_0)[:1, :128]},
        {"w": through(Type.Q4_0)[:6, :64].reshape(2, 3, 64)},
    ],
)
def test_a_handful_of_blocks_is_enough(
    tmp_path: Path, write_gguf: WriteGguf, weights: dict[str, Array]
) -> None:
    assert found(write_gguf(tmp_path / "m.gguf", weights, kind=Type.F16)) == (16, 32)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"norm.weight": trained(shape=(1, 512))[0]},
        {"w": trained(shape=(2, 32))},
        {"w": trained(shape=(64, 33))},
        {"w": np.full((8, 64), np.nan, np.float32)},
        {"w": np.full((8, 64), np.inf, np.float32)},
    ],
)
def test_where_nothing_tells_nothing_is_said(
    tmp_path: Path, write_gguf: WriteGguf, weights: dict[str, Array]
) -> None:
    assert found(write_gguf(tmp_path / "m.gguf", weights)) is None


def test_what_is_quantized_for_all_to_see_is_not_looked_at(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"w": trained()}, kind=Type.Q4_0)
    assert found(path) is None


def test_a_large_file_is_read_in_few_places(tmp_path: Path, write_gguf: WriteGguf) -> None:
    count = Path("/proc/self/io")
    if not count.is_file():
        pytest.skip("this system does not say how much a process reads")
    weights = {f"blk.{i}.w": np.tile(through(Type.Q4_0), (16, 1)) for i in range(12)}
    path = write_gguf(tmp_path / "m.gguf", weights, kind=Type.F16)
    header = read_header(path)
    before = int(count.read_text().split()[1])
    assert levels_of(path, header) is not None
    assert int(count.read_text().split()[1]) - before < 100_000 < path.stat().st_size / 50


@pytest.fixture
def source(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> Path:
    """A Q4_1 file, of which others are made."""
    return write_gguf(
        tmp_path / "tiny.Q4_1.gguf", {"w": trained()}, kind=Type.Q4_1, general__file_type=3
    )


def test_a_file_made_of_a_quantized_one_says_so_by_its_record(source: Path, tmp_path: Path) -> None:
    with pytest.warns(
        QuantrialWarning, match=r"tiny\.Q4_1\.gguf holds weights that were quantized before.*Q4_1"
    ):
        full, half = provision.quantize(str(source), ["F16", "Q8_0"], out=tmp_path / "out")
    assert full.quantized_before == half.quantized_before == "Q4_1"
    for one in (full, half):
        before = describe_file(one.path).quantized_before
        assert before is not None
        assert (before.known_by, before.type) == ("record", "Q4_1")
    # and what is made of the made one says it too
    with pytest.warns(
        QuantrialWarning, match=r"tiny\.F16\.gguf holds weights that were quantized before.*Q4_1"
    ):
        [third] = provision.quantize(str(full.path), ["Q4_0"], out=tmp_path / "out")
    before = describe_file(third.path).quantized_before
    assert before is not None
    assert before.type == "Q4_1"


def test_without_its_record_the_values_say_so(source: Path, tmp_path: Path) -> None:
    with pytest.warns(QuantrialWarning):
        [full] = provision.quantize(str(source), ["F16"], out=tmp_path / "out")
    bare = full.path.rename(tmp_path / "bare.gguf")
    before = describe_file(bare).quantized_before
    assert before is not None
    assert (before.known_by, before.type, before.levels) == ("values", None, 16)
    with pytest.warns(
        QuantrialWarning, match=r"bare\.gguf holds weights that were quantized before.*4-bit values"
    ):
        [again] = provision.quantize(str(bare), ["Q8_0"], out=tmp_path / "out")
    assert again.quantized_before == "4-bit values"


def test_of_two_quantizations_the_coarser_one_is_told(
    tmp_path: Path, write_gguf: WriteGguf, own_cache: Path
) -> None:
    weights = {"w": through(Type.Q4_0)}
    source = write_gguf(tmp_path / "t.Q8_0.gguf", weights, kind=Type.Q8_0, general__file_type=7)
    with pytest.warns(QuantrialWarning, match="4-bit values"):
        [full] = provision.quantize(str(source), ["F16"], out=tmp_path / "out")
    assert full.quantized_before == "4-bit values"


def test_a_file_of_plain_weights_says_nothing(
    tmp_path: Path, write_gguf: WriteGguf, own_cache: Path
) -> None:
    source = write_gguf(tmp_path / "t.F32.gguf", {"w": trained()}, general__file_type=0)
    made = provision.quantize(str(source), ["F16", "Q8_0", "Q4_0"], out=tmp_path / "out")
    assert [one.quantized_before for one in made] == [None, None, None]
    assert [describe_file(one.path).quantized_before for one in made] == [None, None, None]


@pytest.mark.parametrize("degrade", [None, "round_3bit"])
def test_an_arm_that_is_made_knows_what_of(source: Path, degrade: str | None) -> None:
    engine = LlamaCppEngine(str(source), {"threads": 1}, quantize="F16", degrade=degrade)
    artifact = engine.describe()
    assert artifact.quantization == "F16"
    assert artifact.quantized_before is not None
    assert artifact.quantized_before.type == "Q4_1"
    cached = describe_file(made_file(source, "F16", degrade)).quantized_before
    assert cached is not None
    assert cached.type == "Q4_1", "the file in the cache has its record too"


def test_an_arm_damaged_on_purpose_was_not_quantized_before(
    tmp_path: Path, write_gguf: WriteGguf, own_cache: Path
) -> None:
    source = write_gguf(tmp_path / "t.F32.gguf", {"w": trained()}, general__file_type=0)
    engine = LlamaCppEngine(str(source), {"threads": 1}, degrade="round_3bit")
    assert engine.describe().quantized_before is None


def test_records_of_earlier_versions_are_read(source: Path, tmp_path: Path) -> None:
    with pytest.warns(QuantrialWarning):
        [full] = provision.quantize(str(source), ["F16"], out=tmp_path / "out")
    record = full.path.with_name(f"{full.path.name}.json")
    said = json.loads(record.read_text())
    del said["quantized_before"]
    record.write_text(json.dumps(said))
    before = describe_file(full.path).quantized_before
    assert before is not None
    assert before.type == "Q4_1"


def test_the_command_says_so_beside_each_file(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["quantrial", "quantize", str(source), "--to", "F16", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        main()
    out, err = capsys.readouterr()
    assert "100 % F16; quantized before: Q4_1" in out
    assert "quantized before (Q4_1)" in err
