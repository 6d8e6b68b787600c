"""The process in which native code runs: `python -m quantrial.engines.worker JOB`.

`serve` reads its configuration as one line of JSON from stdin, loads the model into llama.cpp, and
prints one line of JSON: where the server listens, or why there is none. It lives until stdin ends
or its parent does, however the parent dies. What llama.cpp prints goes to stderr. `versions` prints
those; `grammar` reads a JSON schema and prints the grammar that llama.cpp makes of it.

`mix SOURCE TARGET TYPE [DEGRADE]` writes a file of mixed types and prints the hash of what it
wrote. `quantize SOURCE TARGET TYPE` has `llama-cpp-python` write a model file. Both say on stderr
why they could not.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable


def main(job: str, *words: str) -> int:
    """Do one job; return the exit code."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints here and there; stdout is for the one answer
    return _JOBS[job](answer, *words)


def _serve(answer: TextIO) -> int:
    from quantrial.system import die_with

    # Ctrl-C goes to everyone at the terminal; this process ends when its parent says so
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    die_with(config["parent"], by_signal=config["parent_signal"])
    watch = threading.Thread(target=_exit_at_end_of_stdin, daemon=True)
    watch.start()
    try:
        server = _server(config)
    except Exception as exc:  # whatever the binding raises is the answer
        return _say(answer, {"error": f"{exc}"}, code=1)
    _say(answer, {"address": server.listening_address})
    watch.join()
    return 0


def _say(answer: TextIO, said: Any, *, code: int = 0) -> int:
    print(json.dumps(said), file=answer, flush=True)
    return code


def _server(config: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = config["path"]
    params.n_parallel = config["slots"]
    params.n_ctx = config["context"] * config["slots"]  # the server shares it out among the slots
    params.n_batch = params.n_ubatch = config["batch"]
    params.n_gpu_layers = config["gpu_layers"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config["threads"]
    for side in ("cache_type_k", "cache_type_v"):
        if side in config:
            setattr(params, side, getattr(xllamacpp.ggml_type, f"GGML_TYPE_{config[side].upper()}"))
    if "template" in config:  # the file's own, with a day in it that stays
        params.chat_template = config["template"]
    params.fit_params = False  # the study says how large things are, not the free memory of the day
    params.cache_prompt = False  # but for what is restored before a call; see `Prefixes`
    params.cache_ram_mib = 0
    params.slot_save_path = config["states"] + os.sep
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [config["token"]]
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = 1  # errors only
    # the raw text is the truth: nothing is parsed out of it
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.force_pure_content_parser = True
    return xllamacpp.Server(params)


def _exit_at_end_of_stdin() -> None:
    with contextlib.suppress(OSError):
        while sys.stdin.buffer.read(65536):
            pass
    os._exit(0)  # without native destructors, which may hang


def _versions(answer: TextIO) -> int:
    import xllamacpp

    build = xllamacpp.BUILD_INFO
    versions = {
        "xllamacpp": xllamacpp.__version__,
        "llama.cpp": f"{build['build_number']} ({build['commit']}, {build['compiler']})",
        "llama.cpp.features": str(xllamacpp.get_system_info()).strip(" |"),
    }
    return _say(answer, versions)


def _grammar(answer: TextIO) -> int:
    import xllamacpp

    return _say(answer, xllamacpp.json_schema_to_grammar(sys.stdin.readline()))


def _mix(answer: TextIO, source: str, target: str, kind: str, degrade: str | None = None) -> int:
    from quantrial.engines.requantize import write_requantized
    from quantrial.errors import ModelFileError

    try:
        digest = write_requantized(Path(source), Path(target), kind, degrade)
    except (ModelFileError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    answer.write(f"{digest}\n")
    answer.close()
    return 0


def _quantize(_: TextIO, source: str, target: str, kind: str) -> int:
    try:
        import llama_cpp
    except Exception as exc:  # it loads its native library, which fails in many ways
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        return 2
    code = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}", None)
    if code is None:
        sys.stderr.write(f"it knows no type {kind}\n")
        return 2
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = code
    params.allow_requantize = True
    failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    return 1 if failed else 0


_JOBS: dict[str, Callable[..., int]] = {
    "serve": _serve,
    "versions": _versions,
    "grammar": _grammar,
    "mix": _mix,
    "quantize": _quantize,
}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
