"""An engine for quantrial that asks any program: one JSON object in, one JSON object out."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quantrial.engines import (
    Artifact,
    Option,
    Reply,
    Request,
    Timing,
    read_options,
    refuse_unable,
)
from quantrial.errors import EngineCrashedError, EngineError, EngineStartError, EngineTimeoutError

_OPTIONS = {"arguments": Option(list, []), "quantization": Option(str)}


class CommandEngine:
    """Runs the program `model` once for every call; it starts anew each time."""

    name = "command"
    abilities: frozenset[str] = frozenset({"fresh", "parallel"})

    def __init__(self, model: str, options: Mapping[str, Any], *, base: Path, seed: int):
        self._said = read_options(options, _OPTIONS, key="options")
        self._model = model
        self._path = base / model
        self._load: float | None = None
        self._started = False

    def describe(self) -> Artifact:
        content = self._path.read_bytes() if self._path.is_file() else None
        return Artifact(
            model=self._model,
            sha256=hashlib.sha256(content).hexdigest() if content is not None else None,
            bytes_on_disk=len(content) if content is not None else None,
            quantization=self._said["quantization"],
            options=self._said,
        )

    def versions(self) -> Mapping[str, str]:
        return {"quantrial-command": "1.0"}

    def start(self) -> float:
        if self._started:
            return 0.0
        before = time.perf_counter()
        if shutil.which(self._path) is None:
            raise EngineStartError(f"{self._model} is no program that can be run")
        self._started, self._load = True, time.perf_counter() - before
        return self._load

    def ask(self, request: Request) -> Reply:
        refuse_unable(request, self)
        self.start()
        load, self._load = self._load, None
        before = time.perf_counter()
        try:
            done = subprocess.run(
                [self._path, *map(str, self._said["arguments"])],
                input=json.dumps(asdict(request)),
                capture_output=True,
                text=True,
                timeout=request.timeout,
                check=True,
            )
            said = json.loads(done.stdout)
            timing = Timing(load=load, wall=time.perf_counter() - before)
            return Reply(
                output=str(said["output"]),
                finish_reason=str(said["finish_reason"]),
                prompt_tokens=int(said["prompt_tokens"]),
                completion_tokens=int(said["completion_tokens"]),
                timing=timing,
            )
        except subprocess.TimeoutExpired as exc:
            raise EngineTimeoutError(f"no answer within {request.timeout:g} s") from exc
        except subprocess.CalledProcessError as exc:
            last = exc.stderr.strip().rpartition("\n")[2]
            raise EngineCrashedError(f"{self._model} ended with {exc.returncode}: {last}") from exc
        except OSError as exc:
            raise EngineStartError(f"{self._model} cannot be run: {exc}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise EngineError(f"{self._model} answered with no JSON object: {exc}") from exc

    def close(self) -> None:
        self._started = False
