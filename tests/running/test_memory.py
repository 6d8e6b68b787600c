"""Which arms fit in memory, alone and together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quantrial.engines.model_files import kv_cache_bytes
from quantrial.records import ArmRecord
from quantrial.running.ordering import memory_of

LLAMA_3_1_8B: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.embedding_length": 4096,
}


def test_the_kv_cache_of_llama_3_1_8b_by_hand() -> None:
    # 32 layers x 8 KV heads x (128 + 128) numbers x 2 bytes = 128 KiB a token; 1 GiB at 8192
    assert kv_cache_bytes(LLAMA_3_1_8B.get, 1) == 128 * 1024
    assert kv_cache_bytes(LLAMA_3_1_8B.get, 8192) == 2**30
    # q8_0: 34 bytes for 32 numbers
    assert kv_cache_bytes(LLAMA_3_1_8B.get, 8192, bytes_each=34 / 32) == 2**30 // 2 * 34 // 32


def test_key_lengths_go_before_the_width_and_a_list_of_heads_counts_by_its_widest() -> None:
    shape = {
        **LLAMA_3_1_8B,
        "llama.attention.key_length": 64,
        "llama.attention.value_length": 32,
        "llama.attention.head_count_kv": [2, 4, 4],
    }
    assert kv_cache_bytes(shape.get, 10) == 32 * 4 * (64 + 32) * 10 * 2


@pytest.mark.parametrize("missing", ["llama.block_count", "llama.embedding_length"])
def test_an_unknown_shape_is_unknown(missing: str) -> None:
    shape = {key: value for key, value in LLAMA_3_1_8B.items() if key != missing}
    assert kv_cache_bytes(shape.get, 10) is None


def test_arms_fit_together_or_one_at_a_time_or_not_at_all() -> None:
    arms = {"a": ArmRecord(bytes_on_disk=16, kv_bytes=1), "b": ArmRecord(bytes_on_disk=8)}
    assert memory_of(arms, 25).together is True
    assert memory_of(arms, 24).together is False
    assert memory_of(arms, 24).too_large == ()
    assert memory_of(arms, 16).too_large == ("a",)
    assert memory_of(arms, None).together is None
    held = {"a": arms["a"], "b": replace(arms["b"], one_at_a_time=True)}
    assert memory_of(held, 100).together is False
    assert memory_of(held, 100).needed == 17
    served = {"a": replace(arms["a"], resident=True), "b": arms["b"]}
    assert memory_of(served, 8).together is True
    assert memory_of(served, 7).too_large == ("b",)
    unknown = memory_of({"a": arms["a"], "b": ArmRecord()}, 100)
    assert unknown.needed is None
    assert unknown.together is None
