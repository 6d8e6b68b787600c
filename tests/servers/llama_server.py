"""The real server of llama.cpp, as `xllamacpp` holds it: OpenAI-compatible, in its own process.

Run as `python llama_server.py MODEL CONTEXT SLOTS KEY NAME PORT`, it prints its address and serves
until stdin ends. Everything else is as llama-server has it by default.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LlamaServer:
    """A running server."""

    url: str
    key: str
    name: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def llama_server(
    model: Path, *, name: str, key: str, context: int = 512, slots: int = 1, port: int = 0
) -> Iterator[LlamaServer]:
    """Serve a model file under a name, to those who hold the key, with one thread a slot."""
    command = [sys.executable, __file__, str(model), str(context), str(slots), key, name, str(port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), "the server did not start"
            yield LlamaServer(f"{address}/v1", key, name, process)
        finally:
            process.kill()


def main() -> None:
    """Serve until stdin ends."""
    import os

    import xllamacpp

    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model, context, slots, key, name, port = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.n_parallel = int(slots)
    params.n_ctx = int(context) * int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.api_keys = [key]
    params.ui = False
    params.verbosity = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
