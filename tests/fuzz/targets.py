"""What strangers hand over, and who reads it: each a target of the fuzzers."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fuzz.harness import Target
from fuzz.records import item_file, log, record
from fuzz.replies import exchanges
from fuzz.samples import (
    CSV_TOKENS,
    GGUF_TOKENS,
    JSON_TOKENS,
    LOG_TOKENS,
    STUDIES,
    STUDY_TOKENS,
    TEXT_TOKENS,
    TEXTS,
    WIRE_TOKENS,
    item_samples,
    log_samples,
    model_samples,
    record_samples,
)
from fuzz.texts import read_text
from quantrial.engines.gguf_file import read_header
from quantrial.engines.model_files import kv_cache_bytes
from quantrial.engines.weights import levels_of, structure_of
from quantrial.strict_yaml import write_yaml
from quantrial.study import load_study, parse_study

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def all_targets() -> Iterator[Mapping[str, Target]]:
    """Make every target, by name; files are written to a folder that is removed again."""
    with tempfile.TemporaryDirectory() as folder, exchanges() as (wire_samples, ask):
        place = Path(folder)
        model_path, study_path = place / "m.gguf", place / "study.yaml"
        numbers = itertools.count()

        def study(data: bytes) -> None:
            study_path.write_bytes(data)
            read = load_study(study_path)
            assert parse_study(write_yaml(read.canonical())).hash == read.hash

        def model(data: bytes) -> None:
            model_path.write_bytes(data)
            header = read_header(model_path)
            assert header.quantization
            assert header.tokenizer_sha256 is None or len(header.tokenizer_sha256) == 64
            assert header.control_tokens is not None
            kv_cache_bytes(header.value, 4096)
            structure_of(model_path, header)
            levels_of(model_path, header)

        def imported(data: bytes) -> None:
            log(data, place / f"log{next(numbers)}")

        targets = (
            Target("study", STUDIES, STUDY_TOKENS, study),
            Target("gguf", model_samples(place), GGUF_TOKENS, model),
            Target("replies", wire_samples, WIRE_TOKENS, ask),
            Target("texts", TEXTS, TEXT_TOKENS, read_text),
            Target("logs", log_samples(), LOG_TOKENS, imported),
            Target("records", record_samples(ROOT / "examples" / "demo"), JSON_TOKENS, record),
            Target("items", item_samples(), CSV_TOKENS, item_file),
        )
        yield {target.name: target for target in targets}
