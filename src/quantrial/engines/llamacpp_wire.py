"""What goes to llama.cpp's server and comes back, and what its chat template makes of messages.

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
from gguf.constants import GGMLQuantizationType

from quantrial.engines.base import Reply, Request, Timing
from quantrial.engines.gguf_file import encode_field, encode_header
from quantrial.engines.llamacpp_process import Worker, chat_of, grammar_of
from quantrial.engines.replies import Message, count_of, read_logprobs, seconds_of, settled
from quantrial.errors import ContextOverflowError, EngineError, EngineStartError
from quantrial.redaction import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quantrial.engines.gguf_file import Header
    from quantrial.engines.llamacpp_process import Began

_RANDOM_SEED = 2**32 - 1  # llama.cpp takes this seed to mean "any"

# The error types of llama.cpp's server (tools/server/server-common.cpp), and whether asking again
# can help.
SERVER_ERRORS: dict[str, tuple[type[EngineError], bool]] = {
    "exceed_context_size_error": (ContextOverflowError, False),
    "invalid_request_error": (EngineError, False),
    "authentication_error": (EngineError, False),
    "permission_error": (EngineError, False),
    "not_found_error": (EngineError, False),
    "not_supported_error": (EngineError, False),
    "unavailable_error": (EngineError, True),
    "server_error": (EngineError, True),
}
_MILLI = 1000  # to a second
# what reading an answer of another form ends in; recursion, where it is nested without end
_UNKNOWN_FORM = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
_FINISH = {"eos": "stop", "word": "stop", "limit": "length", "stop": "stop", "length": "length"}


def call_of(request: Request) -> tuple[str, dict[str, Any]]:
    """Return the path and body of a request."""
    body: dict[str, Any] = {
        "temperature": request.temperature,
        "seed": request.seed % _RANDOM_SEED,
        "ignore_eos": request.exact_length,
        "stop": list(request.stop),
    }
    if request.grammar is not None:
        body["grammar"] = request.grammar
    if request.schema is not None:
        # the server would do it too, but not in a chat whose raw text it is told to leave alone
        body["grammar"] = grammar_of(json.dumps(request.schema))
    if request.messages:
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        chat = {**chat_of(request.messages, request), "max_tokens": request.max_tokens}
        return "/v1/chat/completions", body | chat
    if request.logprobs:
        body["n_probs"] = request.logprobs
    return "/completion", {
        **body,
        "prompt": request.text,
        "n_predict": request.max_tokens,  # unbounded where it is not said
        "response_fields": [
            "content",
            "stop_type",
            "tokens_evaluated",
            "tokens_predicted",
            "timings",
            "completion_probabilities",
        ],
    }


def read_reply(
    response: httpx.Response, request: Request, begun: Began, *, load: float | None, wall: float
) -> Reply:
    """Read the server's answer to a request.

    Args:
        response: with status 200.
        request: what was asked.
        begun: what was read of the prompt before the call.
        load: seconds that the model took to load, where this call waited for it.
        wall: seconds of the call.

    Raises:
        EngineError: the answer has another form than llama.cpp's.
    """
    try:
        said = response.json()
        timings, message = said["timings"], Message()
        made = count_of(timings["predicted_n"])
        # the first token comes out of the prompt's batch, before the clock of decoding starts
        steps = None if made is None else max(made - 1, 0)
        decode = seconds_of(timings["predicted_ms"], per=_MILLI) if steps else None
        read = seconds_of(timings["prompt_ms"], per=_MILLI)
        cached = count_of(timings["cache_n"])
        if request.messages:
            choice, usage = said["choices"][0], said["usage"]
            message.add(choice["message"])
            ending, probabilities = choice["finish_reason"], choice.get("logprobs")
            prompt_tokens, completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        else:
            message.add({"content": said["content"]})
            ending, probabilities = said["stop_type"], said.get("completion_probabilities")
            prompt_tokens, completion_tokens = said["tokens_evaluated"], said["tokens_predicted"]
        reply = Reply(
            output=message.text,
            finish_reason=_FINISH.get(ending, ending),
            prompt_tokens=prompt_tokens,
            cached_tokens=None if cached is None else max(cached - begun.read_tokens, 0),
            completion_tokens=completion_tokens,
            decoded_tokens=steps,
            logprobs=read_logprobs(probabilities or []) if request.logprobs else None,
            timing=Timing(
                load=load,
                prompt=None if read is None else read + begun.read_seconds,
                first_token=wall - (decode or 0.0) if made else None,
                decode=decode,
                wall=wall,
            ),
            thought=message.thought,
            tool_calls=message.tool_calls,
        )
        return settled(reply, request)
    except _UNKNOWN_FORM as exc:
        raise EngineError(
            f"llama.cpp sent an answer of an unknown form ({type(exc).__name__}: {exc}): "
            f"{excerpt(repr(response.text), 200)}"
        ) from exc


def server_error(response: httpx.Response) -> EngineError:
    """Translate an error that llama.cpp's server reports."""
    try:
        error = response.json()["error"]
        kind, message = str(error["type"]), str(error["message"])
    except _UNKNOWN_FORM:
        return EngineError(
            f"llama.cpp answered {response.status_code}: {excerpt(repr(response.text), 200)}"
        )
    if kind == "exceed_context_size_error":
        asked, there = error.get("n_prompt_tokens"), error.get("n_ctx")
        return ContextOverflowError(
            f"the prompt has {asked} tokens and the context {there}; the option is `context`"
        )
    cls, retryable = SERVER_ERRORS.get(kind, (EngineError, True))
    translated = cls(f"llama.cpp: {message} ({kind}, {response.status_code})")
    translated.retryable = retryable
    return translated


TEMPLATE = "tokenizer.chat_template"
_TOKENS = "tokenizer.ggml.tokens"
_WIDTH = 32  # of the tiny model's one layer
_CONTEXT = 64
_LIMIT = 60.0  # seconds for a template; those with loops over tools take milliseconds
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


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
        return [
            _applied(client, request) if request.text is None else request.text
            for request in requests
        ]


def _applied(client: httpx.Client, request: Request) -> str:
    body = chat_of(request.messages, request)
    try:
        said = client.post("/apply-template", json=body, timeout=_LIMIT)
    except (httpx.HTTPError, RuntimeError, UnicodeEncodeError) as exc:
        what = f"{type(exc).__name__}: {exc}"
        raise EngineError(f"the chat template could not be applied ({what})") from exc
    if said.status_code != 200:
        raise server_error(said)
    return str(said.json()["prompt"])


def render_key(header: Header, template: str | None, request: Request) -> str:
    """Hash all that decides what llama.cpp makes of a request: the same key, the same text."""
    messages = [(m.role, m.content) for m in request.messages]
    own = header.value(TEMPLATE) if template is None else template
    known = [own, header.tokenizer_sha256, metadata.version("xllamacpp"), messages, request.text]
    known += [request.tools] if request.tools else []
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
            yield worker.client
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
        encode_field("general.architecture", "llama"),
        encode_field("llama.context_length", 2**12),
        encode_field("llama.embedding_length", _WIDTH),
        encode_field("llama.feed_forward_length", _WIDTH),
        encode_field("llama.block_count", 1),
        encode_field("llama.attention.head_count", 1),
        encode_field("llama.rope.dimension_count", _WIDTH),
        encode_field("llama.attention.layer_norm_rms_epsilon", 1e-5),
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
