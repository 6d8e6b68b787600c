"""Valid samples of all that is mangled, and the words that belong into them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path

from gguf import GGMLQuantizationType

from importers.fabricated import answers
from quantrial.engines.gguf_file import encode_field, encode_header
from quantrial.study import Study

STUDIES: tuple[bytes, ...] = (
    b"""study: demo
seed: 7
reference: fp16
margin: 2pp
alpha: 0.05
notes: [one, "two \\u00e9", 'three']
arms:
  fp16: &base {engine: llamacpp, model: a.gguf, options: {context: 2048, threads: 2}}
  q8: {<<: *base, quantize: Q8_0}
  worse: {model: a.gguf, degrade: round_3bit, control: positive}
tasks:
  quiz:
    kind: choice
    workload: reasoning
    source: {type: jsonl, path: items.jsonl, dev: dev.jsonl}
    shots: 2
    sample: 100
    stratify: subject
    cluster: day
    icc: 0.1
    thought_tags: [["<p>", "</p>"]]
  names:
    kind: spans
    workload: extraction
    source:
      type: conll
      path: x.conll
    types: [PER, LOC]
    margins: {recall: 0.03}
    system: |
      Find them.
      All.
design: {schedule: blocked, blocks: 8, slots: 2, logprobs: 3, attempts: 2}
analysis: {methods: classic, resamples: 1000, declared_failure_modes: [no_spurious]}
speed: {prompt_tokens: [64], output_tokens: [32, 64], time_limit: 60}
decision: {max_memory: 8GB, min_speedup: 1.2, tolerate_by: {quiz: 1pp}, max_latency: 300ms}
""",
    json.dumps(
        {
            "study": "j",
            "reference": "a",
            "arms": {"a": {"model": "x"}, "b": {"model": "y", "options": {"n": [1, 2.5, None]}}},
            "tasks": {
                "t": {"kind": "choice", "workload": "w", "source": {"type": "bundled"}},
                "u": {"kind": "spans", "workload": "w", "source": {"type": "hub", "repo": "r"}},
            },
        }
    ).encode(),
    b"a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
)
STUDY_TOKENS: tuple[bytes, ...] = (
    *(b"&a ", b"*a", b"*b", b"<<: *a\n", b"!!binary ", b"!!str ", b"!!python/object:os.system "),
    *(b"!x ", b"%YAML 1.1\n", b"%TAG ! x\n", b"---\n", b"...\n", b"? ", b": ", b"|\n", b">-\n"),
    *(b"- ", b"[", b"]", b"{", b"}", b"1:30", b"010", b"0o10", b"0x1F", b"1_000", b"yes", b"no"),
    *(b".inf", b".nan", b"2026-01-01", b"~", b"null", b"1e3", b'"\\ud83d"', b'"\\U00110000"'),
    *(b'"\\0"', b"# x\n", b"\n  ", b"\n    ", b"\n", b"8GB", b"2pp", b"300ms", b"%", b"1e9pp"),
    *(key.encode() + b": " for key in Study.model_fields),
    *(b"kind: spans", b"type: hub", b"model: ", b"options: ", b"source: ", b"engine: openai"),
)

JSON_TOKENS: tuple[bytes, ...] = (
    *(b"[", b"]", b"{", b"}", b'"', b",", b":", b"null", b"true", b"{}", b"[]", b'""', b"-"),
    *(b"1e400", b"0.1", b"-1", b'"\\ud800"', b'"schema":', b'"output":', b'"timing":{', b"[" * 50),
    *(b'{"a":' * 20, b'"a":1,"a":2', b'"ok"', b'"quantrial.response/2"', b'"logprobs":'),
)
LOG_TOKENS: tuple[bytes, ...] = (
    *JSON_TOKENS,
    *(b'"example_id":', b'"gold":', b'"score":', b'"A"', b"[[", b'"arm":', b'"status":"error"'),
    *(b'"metadata":{', b'"eval_count":', b'"tokens_per_second":0', b"\n{", b'"options":["x","y"]'),
    *(b"\0{}", b'\0{"arms":', b'"sha256":', b'"question":"q"', b'"prompt":', b'"subject":'),
)
CSV_TOKENS: tuple[bytes, ...] = (
    *JSON_TOKENS,
    *(b'""', b'"\n', b",A\n", b",0\n", b"question,choice0,choice1,answer\n", b"\tB-PER\n", b" O\n"),
    *(b"-DOCSTART- O\n", b" I-LOC\n", b"\n\n", b'"options":', b'"answer":', b'"answerKey":"1"'),
    *(b'"choices":{"text":["a","b"],"label":["A","B"]}', b'"entities":[["a","X"]]', b'"text":"a"'),
)
WIRE_TOKENS: tuple[bytes, ...] = (
    *JSON_TOKENS,
    *(
        b"data: ",
        b"data: [DONE]\n\n",
        b"\n\n",
        b"\r\n\r\n",
        b": x\n",
        b"event: error\n",
        b"id: 1\n",
    ),
    *(b'"choices":', b'"delta":', b'"message":', b'"content":', b'"text":', b'"finish_reason":'),
    *(b'"usage":', b'"error":', b'"logprobs":', b'"tool_calls":[', b'"index":', b'"function":'),
    *(b'"done":true', b'"response":', b'"models":', b'"eval_count":', b'"timings":', b'"token":'),
    *(b'"top_logprobs":', b'"reasoning":', b'"refusal":', b'"arguments":', b'"model":"m"'),
)

TEXTS: tuple[bytes, ...] = tuple(
    text.encode()
    for text in (
        "A",
        "The answer is (B), because A and C are wrong.",
        "Antwort: C. Nicht A oder B, sondern C ist richtig.",
        '<think>Is it A? No, "B".</think>\n\n**Answer: B**',
        "<answer>C</answer>",
        '[{"text": "Ada", "type": "PER"}, {"text": "New York", "type": "LOC"}]',
        '```json\n[{"entity": "Bo Li", "label": "PER"}]\n```\nThat is all.',
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>D",
        "analysisThe user asks.assistantfinalB",
        "I'm sorry, but I can't help with that.",
        "Here's my thought process: x\nHere's my response: A",
        "The same words again. " * 12,
        "1. A\n2. B\nNot A. Not B. Question: next?\nAnswer: C",
        "答案是 B。因为 A 不对。",
        "\\boxed{\\text{C}} $\\mathrm{D}$",
    )
)
TEXT_TOKENS: tuple[bytes, ...] = tuple(
    token.encode()
    for token in (
        *("A", "B", " B ", "(C)", "[D]", "\\boxed{A}", "**B**", "answer is", "Answer: A"),
        *("or", "not "),
        *("<think>", "</think>", "<answer>", "</answer>", "[THINK]", "[/THINK]"),
        *("◁think▷", "<|x|>"),
        *("<|channel|>final<|message|>", "<|channel|>", "<|end|>", "assistantfinal", "analysis"),
        *('{"text": "Ada", "type": "PER"},', "[{", "}]", '"text":', "\\", '"', "\\\"", "```", "`"),
        *("I can't help", "I'm sorry, ", "Question: ", "\nQ: ", "Antwort: "),
        *("答案是", "und", " ist "),
        *("\n", "\t", "   ", "<", ">", "<a>", "</a>", "< ", "=", "'", "’", "„", "“"),
        *(", ", "; ", "A, "),
        *("A and B", "A is wrong", "not A but B", "Ada", "New York", "Ada Ada"),
        *("e\u0301", "\u0301"),
    )
)  # fmt: skip


def model_samples(folder: Path) -> list[bytes]:
    """Write small model files with metadata of every type."""
    f16, q8 = GGMLQuantizationType.F16, GGMLQuantizationType.Q8_0
    tensors: list[tuple[str, tuple[int, ...], GGMLQuantizationType]]
    tensors = [("token_embd.weight", (32, 4), q8), ("output.weight", (32, 4), q8)]
    tensors += [("blk.0.attn_norm.weight", (32,), GGMLQuantizationType.F32)]
    tensors += [("blk.0.ffn.weight", (64, 32), f16)]
    fields = [
        _field("general.architecture", 8, _text("llama")),
        encode_field("general.alignment", 32),
        encode_field("general.file_type", 7),
        *(encode_field(f"llama.{key}", 4) for key in ("block_count", "attention.head_count")),
        encode_field("llama.embedding_length", 64),
        encode_field("llama.context_length", 2048),
        _field("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
        _field("llama.feed_forward_length", 9, struct.pack("<IQ3I", 4, 3, 8, 8, 8)),
        _field("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + _text("a") + _text("<s>")),
        _field("tokenizer.ggml.token_type", 9, struct.pack("<IQ2i", 5, 2, 1, 3)),
        _field("tokenizer.chat_template", 8, _text("{{ messages }}")),
        _field("x.flag", 7, b"\1"),
        _field("x.big", 10, struct.pack("<Q", 2**40)),
        _field("x.deep", 9, struct.pack("<IQIQB", 9, 1, 0, 1, 7)),
    ]
    whole = encode_header(fields, tensors) + bytes(range(256)) * 64
    few = encode_header(fields[:1], tensors[2:3]) + bytes(256)
    return [whole, few]


GGUF_TOKENS: tuple[bytes, ...] = (
    *(struct.pack("<I", n) for n in (0, 4, 5, 6, 8, 9, 10, 12, 13, 2**32 - 1)),
    *(struct.pack("<Q", n) for n in (0, 1, 2, 3, 32, 2**32, 2**40, 2**63, 2**64 - 9, 2**64 - 1)),
    struct.pack("<IQ", 9, 1),
    struct.pack("<IQ", 8, 2**62),
    struct.pack("<IQ", 0, 2**64 - 9),
    encode_field("general.alignment", 0),
    encode_field("general.alignment", 3),
    encode_field("split.count", 2),
    b"GGUF",
)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def _field(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def log_samples() -> list[bytes]:
    """Write rows of published layouts, with and without the manifest of an experiment."""
    files = answers()
    manifest = {
        "experiment": {"model": "m"},
        "arms": {"fp16": {"model": "llama:fp16", "size_bytes": 10**9, "sha256": "0" * 64}},
        "model_sizes": {"q8_0": 5},
    }
    logs = [_lines(files[name][:4]) for name in ("mmlu_fp16", "extraction_fp16")]
    return [*logs, logs[0] + b"\0" + json.dumps(manifest).encode()]


def record_samples(run: Path) -> list[bytes]:
    """Take lines and documents of a run folder, each after the letter of its kind."""
    first = (run / "responses" / "quiz.f16.jsonl").read_bytes().split(b"\n")[0]
    response = json.loads(first)
    newer = response | {
        "schema": "quantrial.response/2",
        "thought": "hm",
        "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}],
        "scores": {"bleu": 0.5, "none": None},
        "scored_by": "judge",
        "host": "h:1",
        "logprobs": [{"token": "A", "logprob": -0.1, "top": [["A", -0.1], ["B", -2.5]]}],
    }
    documents = {"m": run / "manifest.json", "d": run / "decision.json"}
    return [
        b"r" + first,
        b"r" + json.dumps(newer).encode(),
        b"n" + first.replace(b"null", b"NaN"),
        b"i" + (run / "items.jsonl").read_bytes().split(b"\n")[0],
        b"s" + (run / "speed.jsonl").read_bytes().split(b"\n")[0],
        *(kind.encode() + path.read_bytes()[:20_000] for kind, path in documents.items()),
        b"m" + documents["m"].read_bytes(),
    ]


def item_samples() -> list[bytes]:
    """Write items in each form that is read, after the letter of its kind."""
    choice = {"question": "Q?", "options": ["a", "b", "c"], "answer": 1, "subject": "s", "n": 2}
    arc = {"id": "x", "question": {"stem": "Q?", "choices": _LABELLED}, "answerKey": "B"}
    spans = {"text": "Ada met Bo.", "entities": [["Ada", "PER"], ["Bo", "PER"]]}
    return [
        b"q" + _lines([choice, arc]),
        b"q" + _lines([{"question": "Q?", "choices": {"A": "x", "B": "y"}, "answer": "B"}]),
        b"s" + _lines([spans, {**spans, "entities": []}]),
        b"m" + b'question,choice0,choice1,answer\n"a ""b""\nc",x,y,1\nq,x,y,0\n',
        b"m" + b"what?,x,y,z,w,C\n",
        b"c" + b"-DOCSTART- -X- O O\n\nAda NNP B-NP B-PER\nmet VBD B-VP O\n\nBo NNP B-NP S-PER\n",
        b"c" + b"Ada\tB-PER\nLi\tI-PER\n\nx\tO\n",
    ]


_LABELLED = [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}]


def _lines(rows: Iterable[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
