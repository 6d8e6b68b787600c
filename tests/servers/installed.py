"""Servers that others wrote, each installed from the package index into an environment of its own.

Nothing of them is a dependency: they are installed when `make soak-servers` asks for them, into a
temporary folder, and one that cannot be installed here is named as not asked.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

_INSTALLING = 3600.0  # seconds
_STARTING = 600.0

# Writes a model of random weights in the form of the Hugging Face hub: {folder} {seed}.
TINY_MODEL = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
import torch

folder, seed = sys.argv[1], int(sys.argv[2])
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
special = ["<pad>", "<s>", "</s>"]
words = {token: i for i, token in enumerate([*special, *letters])}
tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
)
fast.chat_template = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
fast.save_pretrained(folder)
torch.manual_seed(seed)
config = LlamaConfig(
    vocab_size=len(words), hidden_size=128, intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.4,
)
LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
"""


class UnavailableError(Exception):
    """A server that cannot be installed on this machine."""


class NotStartedError(Exception):
    """A server that is installed and does not start."""


@dataclass(frozen=True)
class Environment:
    """A Python environment that holds one server."""

    folder: Path

    @property
    def bin(self) -> Path:
        """Where its programs are."""
        return self.folder / "bin"

    def run(self, *arguments: str) -> None:
        """Run its Python; raises with the end of what it said."""
        done = subprocess.run(
            [str(self.bin / "python"), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotStartedError(_end(done.stderr))

    def versions(self, *packages: str) -> str:
        """Name the versions of packages, for whoever reads what was tried."""
        code = (
            "import sys; from importlib.metadata import version; "
            "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
        )
        command = [str(self.bin / "python"), "-c", code, *packages]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def installed(folder: Path, name: str, packages: Sequence[str]) -> Environment:
    """Make an environment in a folder and install packages from the index.

    Where the variable SOAK_SERVERS names a folder, environments are kept and found there.

    Raises:
        UnavailableError: they cannot be installed here.
    """
    kept = os.environ.get("SOAK_SERVERS")
    made = Environment(Path(kept).absolute() / name if kept else folder / "env")
    done_before = made.folder / "installed"
    if done_before.exists():
        return made
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(made.folder)], check=True)
    pip = [str(made.bin / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(
            [*pip, "install", "--quiet", "--prefer-binary", *packages],
            capture_output=True,
            text=True,
            timeout=_INSTALLING,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise UnavailableError(f"not installed within {_INSTALLING:g} s") from exc
    if done.returncode:
        raise UnavailableError(f"cannot be installed here: {_end(done.stderr)}")
    done_before.touch()
    return made


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    root: str,
    log: Path,
    *,
    more: Mapping[str, str] | None = None,
    key: str = "none",
) -> Iterator[None]:
    """Run a server until the block ends; it is up once it lists its models.

    Args:
        command: what starts it.
        root: its address, without a path.
        log: the file that holds what it prints.
        more: variables of its environment.
        key: what opens it.

    Raises:
        NotStartedError: it ends, or does not answer in time.
    """
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", **(more or {})}
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command), stdout=out, stderr=out, env=env, start_new_session=True
        )
        try:
            _wait(process, f"{root}/v1/models", log, key)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, key: str) -> None:
    deadline = time.monotonic() + _STARTING
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotStartedError(f"it ended: {_end(log.read_text(errors='replace'))}")
        with contextlib.suppress(httpx.HTTPError):
            opened = {"Authorization": f"Bearer {key}"}
            if httpx.get(url, timeout=5, headers=opened).status_code == 200:
                return
        time.sleep(0.5)
    raise NotStartedError(f"it did not answer within {_STARTING:g} s")


def _end(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-400:]
