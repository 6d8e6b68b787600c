"""What a model file's chat template makes of messages, asked of llama.cpp without the weights.

llama.cpp applies a template when a model is loaded. A template needs the tokenizer's special tokens
and no weight, so a file of one tiny layer with the tokenizer and template of the real one does: it
is made, loaded and gone within a second, where the real one may take minutes and 16 GB.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from gguf.constants import GGMLQuantizationType, GGUFValueType

from quantrial.engines.gguf_file import encode_header, encode_u32
from quantrial.engines.llamacpp_process import Worker, server_error
from quantrial.errors import EngineError, EngineStartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quantrial.engines.base import Request
    from quantrial.engines.gguf_file import Header

TEMPLATE = "tokenizer.chat_template"
_TOKENS = "tokenizer.ggml.tokens"
_WIDTH = 32  # of the tiny model's one layer
_CONTEXT = 64
_LIMIT = 60.0  # seconds for a template; those with loops over tools take milliseconds
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def render_with(client: httpx.Client, requests: Sequence[Request]) -> list[str]:
    """Return what a running server of llama.cpp makes of requests; a text stays as it is.

    Raises:
        EngineError: the template refuses the messages, or the server is gone.
    """
    texts = []
    for request in requests:
        if request.text is not None:
            texts.append(request.text)
            continue
        body = {"messages": [{"role": m.role, "content": m.content} for m in request.messages]}
        try:
            said = client.post("/apply-template", json=body, timeout=_LIMIT)
        except (httpx.HTTPError, RuntimeError, UnicodeEncodeError) as exc:
            what = f"{type(exc).__name__}: {exc}"
            raise EngineError(f"the chat template could not be applied ({what})") from exc
        if said.status_code != 200:
            raise server_error(said)
        texts.append(str(said.json()["prompt"]))
    return texts


def render_without_weights(
    header: Header, template: str | None, requests: Sequence[Request]
) -> list[str]:
    """Return what llama.cpp would make of requests once the model of this header is loaded.

    Args:
        header: of the model file.
        template: that stands in for the file's own; None for that one.
        requests: messages to frame; a text stays as it is.

    Raises:
        EngineStartError: llama.cpp cannot read the tokenizer or the template.
        EngineError: the template refuses the messages.
    """
    if all(request.text is not None for request in requests):
        return [request.text or "" for request in requests]
    with _server(header, template) as client:
        return render_with(client, requests)


def render_key(header: Header, template: str | None, request: Request) -> str:
    """Hash all that decides what llama.cpp makes of a request: the same key, the same text."""
    messages = [(m.role, m.content) for m in request.messages]
    own = header.value(TEMPLATE) if template is None else template
    known = (own, header.tokenizer_sha256, metadata.version("xllamacpp"), messages, request.text)
    return hashlib.sha256(json.dumps(known).encode("utf-8", "surrogatepass")).hexdigest()


@contextlib.contextmanager
def _server(header: Header, template: str | None) -> Iterator[httpx.Client]:
    with tempfile.TemporaryDirectory(prefix="quantrial-") as folder:
        path = Path(folder) / "template.gguf"
        path.write_bytes(tiny_model(header))
        told: dict[str, Any] = {
            "path": str(path),
            "states": folder,
            "context": _CONTEXT,
            "batch": _CONTEXT,
            "slots": 1,
            "threads": 1,
            "gpu_layers": 0,
        }
        if template is not None:
            told["template"] = template
        worker = Worker(told)
        try:
            headers = {"Authorization": f"Bearer {worker.token}"}
            with httpx.Client(base_url=worker.address, headers=headers, trust_env=False) as client:
                yield client
        finally:
            worker.end()


def tiny_model(header: Header) -> bytes:
    """Make a model file of one layer of zeros with the tokenizer and template of another.

    Raises:
        EngineStartError: that has no vocabulary.
    """
    if _TOKENS not in header.fields:
        raise EngineStartError("the model file holds no vocabulary, so no template can be applied")
    # after the key come its type, the type of its elements, and how many there are
    at = 8 + len(_TOKENS.encode()) + 8
    tokens = struct.unpack_from("<Q", header.fields[_TOKENS].raw, at)[0]
    fields = [one.raw for key, one in header.fields.items() if key.startswith("tokenizer.")]
    fields += [
        _text("general.architecture", "llama"),
        encode_u32("llama.context_length", 2**12),
        encode_u32("llama.embedding_length", _WIDTH),
        encode_u32("llama.feed_forward_length", _WIDTH),
        encode_u32("llama.block_count", 1),
        encode_u32("llama.attention.head_count", 1),
        encode_u32("llama.rope.dimension_count", _WIDTH),
        _float("llama.attention.layer_norm_rms_epsilon", 1e-5),
    ]
    f16, f32 = GGMLQuantizationType.F16, GGMLQuantizationType.F32
    norms = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    tensors = [
        ("token_embd.weight", (_WIDTH, tokens), f16),
        *((f"blk.0.{name}.weight", (_WIDTH, _WIDTH), f16) for name in _MATRICES),
        *((f"{name}.weight", (_WIDTH,), f32) for name in norms),
    ]
    # every size is a multiple of the alignment, 32 bytes: nothing stands between the tensors
    zeros = 2 * _WIDTH * (tokens + len(_MATRICES) * _WIDTH) + 4 * _WIDTH * len(norms)
    return encode_header(fields, tensors) + bytes(zeros)


def _text(key: str, value: str) -> bytes:
    parts = [struct.pack("<Q", len(one.encode())) + one.encode() for one in (key, value)]
    return parts[0] + struct.pack("<I", int(GGUFValueType.STRING)) + parts[1]


def _float(key: str, value: float) -> bytes:
    name = key.encode()
    form = f"<Q{len(name)}sIf"
    return struct.pack(form, len(name), name, int(GGUFValueType.FLOAT32), value)
