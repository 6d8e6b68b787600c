"""The process in which llama.cpp runs: `python -m quantrial.engines.llamacpp_worker`.

Reads its configuration as one line of JSON from stdin, loads the model, and prints one line of
JSON: where the server listens, or why there is none. It lives until stdin ends or its parent does,
however the parent dies. What llama.cpp prints goes to stderr. With `--versions` it prints those and
ends; with `--grammar` it reads a JSON schema and prints the grammar that llama.cpp makes of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from typing import Any

from quantrial.system import die_with


def main() -> int:
    """Serve until stdin ends."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints here and there; stdout is for the one answer
    if sys.argv[1:] == ["--versions"]:
        print(json.dumps(_versions()), file=answer, flush=True)
        return 0
    if sys.argv[1:] == ["--grammar"]:
        import xllamacpp

        grammar = xllamacpp.json_schema_to_grammar(sys.stdin.readline())
        print(json.dumps(grammar), file=answer, flush=True)
        return 0
    # Ctrl-C goes to everyone at the terminal; this process ends when its parent says so
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    die_with(config["parent"], by_signal=config["parent_signal"])
    watch = threading.Thread(target=_exit_at_end_of_stdin, daemon=True)
    watch.start()
    try:
        server = _serve(config)
    except Exception as exc:  # whatever the binding raises is the answer
        print(json.dumps({"error": f"{exc}"}), file=answer, flush=True)
        return 1
    print(json.dumps({"address": server.listening_address}), file=answer, flush=True)
    watch.join()
    return 0


def _serve(config: dict[str, Any]) -> Any:
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
    params.cache_prompt = False  # but for what is restored before a call; see llamacpp_prefix
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


def _versions() -> dict[str, str]:
    import xllamacpp

    build = xllamacpp.BUILD_INFO
    said = f"{build['build_number']} ({build['commit']}, {build['compiler']})"
    return {
        "xllamacpp": xllamacpp.__version__,
        "llama.cpp": said,
        "llama.cpp.features": str(xllamacpp.get_system_info()).strip(" |"),
    }


def _exit_at_end_of_stdin() -> None:
    with contextlib.suppress(OSError):
        while sys.stdin.buffer.read(65536):
            pass
    os._exit(0)  # without native destructors, which may hang


if __name__ == "__main__":
    sys.exit(main())
