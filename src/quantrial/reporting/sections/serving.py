"""The command that serves the arm that the decision recommends, as the manifest knows it.

What the manifest does not hold is said, and not guessed. Every part is quoted for a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from quantrial.inert import clean
from quantrial.precision import without_type
from quantrial.reporting.blocks import Serving
from quantrial.words import plural

if TYPE_CHECKING:
    from quantrial.documents.decision import Decision
    from quantrial.records import ArmRecord, Manifest

Made = tuple[list[list[str]], list[str]]  # words of each command, and what is to be said of them

_ALL_LAYERS = "999"  # every version of llama-server takes it as all of them
_FOLDER = re.compile(r" \(folder [0-9a-f]{8}\)$")  # how a manifest writes a path of a server
_HUB = re.compile(
    r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)(?:@(?P<early>[^/\s]+))?/(?P<file>[^@\s]+?)(?:@(?P<late>\S+))?"
)
_FILE = "FILE.gguf"


def serving(decision: Decision, manifest: Manifest) -> Serving | None:
    """Return how to serve the arm that is recommended; None where none is.

    There is no command where the manifest does not tell what served it; the notes say so.
    """
    given = decision.constrained
    arm = given.pick if given else decision.default.arm
    if arm is None:
        return None
    record = manifest.arms.get(arm)
    if record is None:
        return None
    model = _text(record.model)
    if model is None or clean(model) != model or model.startswith("-"):
        why = "its model has no name" if not model else "the name of its model is no word of one"
        return Serving(f"To serve {clean(arm)}", (), (f"No command can be written: {why}.",))
    commands, notes = _OF_ENGINE.get(str(record.engine), _other)(record, model)
    lines = tuple(" ".join(map(_word, words)) for words in commands)
    return Serving(f"To serve {clean(arm)}", lines, tuple(map(clean, notes)))


def _word(word: str) -> str:
    """Quote a word for a shell; `~/` before it stays the home folder."""
    if word.startswith("~/") and len(word) > 2:
        return f"~/{shlex.quote(word[2:])}"
    return shlex.quote(word)


def _embedded(record: ArmRecord, model: str) -> Made:
    """The embedded engine: llama-server does the same with the same file."""
    options, notes = _options(record), list[str]()
    commands = list[list[str]]()
    made, kind = _text(record.derived_from), _text(record.quantization)
    if made is not None and kind is not None:
        commands.append(["quantrial", "quantize", model, "--to", kind, "-o", "models"])
        name = PureWindowsPath(PurePosixPath(model.partition("://")[2] or model).name).name
        stem = without_type(name.removesuffix(".gguf"), _text(record.source_quantization) or "")
        file = ["-m", f"models/{stem}.{kind}.gguf"]
        notes.append("The first command makes the file again that was measured.")
    elif hub := _HUB.fullmatch(model):
        file = ["--hf-repo", hub["repo"], "--hf-file", hub["file"]]
        if revision := hub["early"] or hub["late"]:
            notes.append(
                f"Measured at revision {revision}; llama-server fetches the newest. Fetch that "
                "file and give its path with -m to be sure."
            )
    elif "://" in model:
        file = ["-m", _FILE]
        notes.append(f"{_FILE} stands for the file that {model} names.")
    else:
        file = ["-m", model]
    rooted = PurePosixPath(model).is_absolute() or PureWindowsPath(model).is_absolute()
    if "://" not in model and not rooted and not model.startswith("~"):
        notes.append(f"The path {model} starts from the study's folder.")
    slots = _count(options.get("slots")) or 1
    context = _count(options.get("context"))
    layers = options.get("gpu_layers")
    some = isinstance(layers, int) and not isinstance(layers, bool) and layers >= 0
    words = ["llama-server", *file]
    if context is not None:  # llama-server shares its context out among the slots
        words += ["-c", str(context * slots), "-np", str(slots)]
    words += ["-ngl", str(layers) if some else _ALL_LAYERS]
    for flag, name in (("-ctk", "cache_type_k"), ("-ctv", "cache_type_v")):
        if (cache := _text(options.get(name))) is not None:
            words += [flag, cache]
    return [*commands, words], [*notes, *_measured(record)]


def _ollama(record: ArmRecord, model: str) -> Made:
    options = _options(record)
    notes = list[str]()
    if context := _count(options.get("num_ctx")):
        notes.append(
            f"It was asked with a context of {plural(context, 'token')}: type “/set parameter "
            f"num_ctx {context}” in it, or start the server with OLLAMA_CONTEXT_LENGTH={context}."
        )
    digest = _text(record.details.get("digest")) if isinstance(record.details, Mapping) else None
    if digest:
        notes.append(f"“ollama list” shows the model that was measured as {digest[:12]}.")
    return [["ollama", "run", model]], notes


def _openai(record: ArmRecord, model: str) -> Made:
    """A server of which the study or the server itself said what software it is."""
    options = _options(record)
    software = _text(options.get("server")) or "generic"
    write = _OF_SERVER.get(software)
    if write is not None:
        return write(record, model)
    return [], [
        f"No command can be written: the study does not say which software served {model} "
        "(option “server” of the engine openai)."
    ]


def _llama_server(record: ArmRecord, model: str) -> Made:
    file, notes = _served_file(record)
    words = ["llama-server", "-m", file, "--alias", model]
    details = record.details if isinstance(record.details, Mapping) else {}
    context, slots = _count(record.context), _count(details.get("slots"))
    if context and slots:
        words += ["-c", str(context * slots), "-np", str(slots)]
    elif context:
        words += ["-c", str(context)]
        notes.append("How many slots shared that context is not known.")
    notes.append("How many layers were on a GPU (-ngl) is not known.")
    return [words], [*notes, *_measured(record)]


def _llama_cpp_python(record: ArmRecord, model: str) -> Made:
    file, notes = _served_file(record)
    words = ["python", "-m", "llama_cpp.server", "--model", file, "--model_alias", model]
    if context := _count(record.context):
        words += ["--n_ctx", str(context)]
    notes.append("How many layers were on a GPU (--n_gpu_layers) is not known.")
    return [words], [*notes, *_measured(record)]


def _served_file(record: ArmRecord) -> tuple[str, list[str]]:
    """Return the name of the file that a server told, and what to say of it."""
    identity = record.identity if isinstance(record.identity, Mapping) else {}
    told = _text(identity.get("file"))
    if told is None or clean(told) != told:
        return _FILE, [f"{_FILE} stands for the model file, which the server did not name."]
    name = _FOLDER.sub("", told)
    named = name if not name.startswith("-") else f"./{name}"
    return named, [] if name == told else ["The folder of the model file is not recorded."]


def _vllm(record: ArmRecord, model: str) -> Made:
    return _of_hub(record, model, ["vllm", "serve"], "--served-model-name", "--max-model-len")


def _sglang(record: ArmRecord, model: str) -> Made:
    start = ["python", "-m", "sglang.launch_server", "--model-path"]
    return _of_hub(record, model, start, "--served-model-name", "--context-length")


def _of_hub(record: ArmRecord, model: str, start: list[str], alias: str, length: str) -> Made:
    """A server of models by their names on a hub, or by folders."""
    identity = record.identity if isinstance(record.identity, Mapping) else {}
    root, notes = _text(identity.get("root")), list[str]()
    if root is None or clean(root) != root or root.startswith("-"):
        root = model
        notes.append(f"{model} is the name that was asked for; the server told no other.")
    elif (name := _FOLDER.sub("", root)) != root:
        root = name
        notes.append(f"The folder of {name} is not recorded.")
    words = [*start, root, *([] if root == model else [alias, model])]
    if context := _count(record.context):
        words += [length, str(context)]
    notes.append("Further options of the server (type, quantization, memory) are not known.")
    return [words], notes


def _other(record: ArmRecord, model: str) -> Made:
    engine = _text(record.engine)
    if engine == "imported":
        why = "the logs that were imported do not say what served it"
    else:
        why = f"the engine {engine or 'of the arm'} does not say what serves {model}"
    return [], [f"No command can be written: {why}."]


_OF_ENGINE: Mapping[str, Callable[[ArmRecord, str], Made]] = {
    "llamacpp": _embedded,
    "ollama": _ollama,
    "openai": _openai,
}
_OF_SERVER: Mapping[str, Callable[[ArmRecord, str], Made]] = {
    "llama.cpp": _llama_server,
    "llama-cpp-python": _llama_cpp_python,
    "vllm": _vllm,
    "sglang": _sglang,
}


def _measured(record: ArmRecord) -> list[str]:
    """Say which file it was."""
    digest = _text(record.sha256)
    return [f"The file that was measured has the sha256 {digest}."] if digest else []


def _options(record: ArmRecord) -> Mapping[str, Any]:
    return record.options if isinstance(record.options, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40
    return value if sound else None
