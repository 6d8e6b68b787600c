"""Files of mixed types that tests make, and the hashes of what llama.cpp writes of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from quantrial.engines.gguf_file import Tensor, read_header

# by version of the package that holds ggml's code, model and type: see tests/soak
KNOWN = Path(__file__).parent / "data" / "quantized.json"


def version() -> str:
    """Return the version of the package whose code writes the blocks."""
    return importlib.metadata.version("xllamacpp")


def tensors_sha256(path: Path) -> str:
    """Hash the name, type and bytes of every tensor of a file, by name."""
    digest = hashlib.sha256()
    for tensor in sorted(read_header(path).tensors, key=lambda one: one.name):
        digest.update(f"{tensor.name} {tensor.type.name}\n".encode())
        digest.update(held(path, tensor))
    return digest.hexdigest()


def held(path: Path, tensor: Tensor) -> bytes:
    data = np.memmap(path, mode="r")
    return bytes(data[tensor.start : tensor.start + tensor.size].tobytes())


def write_qwen2(path: Path, *, layers: int = 9, width: int = 512, inner: int = 864) -> Path:
    """Write a small model of another architecture: biases, an output of its own, shared values."""
    rng = np.random.default_rng(7)
    writer = GGUFWriter(path, "qwen2")
    writer.add_block_count(layers)
    writer.add_context_length(256)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(1)
    writer.add_token_list([f"t{i}" for i in range(300)])

    def add(name: str, *shape: int) -> None:
        values = rng.normal(size=shape).astype(np.float32)
        writer.add_tensor(name, values if len(shape) < 2 else values.astype(np.float16))

    add("token_embd.weight", 300, width)
    add("output.weight", 300, width)
    add("output_norm.weight", width)
    for i in reversed(range(layers)):  # not in the order of the layers
        for name, out in (("attn_q", width), ("attn_k", width // 4), ("attn_v", width // 4)):
            add(f"blk.{i}.{name}.weight", out, width)
            add(f"blk.{i}.{name}.bias", out)
        add(f"blk.{i}.attn_output.weight", width, width)
        add(f"blk.{i}.attn_norm.weight", width)
        add(f"blk.{i}.ffn_norm.weight", width)
        add(f"blk.{i}.ffn_gate.weight", inner, width)
        add(f"blk.{i}.ffn_up.weight", inner, width)
        add(f"blk.{i}.ffn_down.weight", width, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
