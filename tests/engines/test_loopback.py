"""Which addresses are this very machine: both engines that call servers ask one function."""

import pytest

from quantrial.engines.ollama import OllamaEngine
from quantrial.engines.openai import OpenAIEngine
from quantrial.engines.options import is_loopback

HERE = ["127.0.0.1", "127.0.1.1", "127.255.255.254", "localhost", "LOCALHOST", "[::1]"]
ELSEWHERE = [
    "126.255.255.255",
    "128.0.0.1",
    "192.168.0.7",
    "[::2]",
    "127.example.org",
    "localhost.example.org",
    "gpu-box",
]


@pytest.mark.parametrize("host", HERE + ELSEWHERE)
def test_engines_agree_on_what_is_this_machine(host: str) -> None:
    url, here = f"http://{host}:1", host in HERE
    assert is_loopback(url) == here
    assert OllamaEngine("m", {"host": url}).local == here
    assert OpenAIEngine("m", {"base_url": f"{url}/v1"}).local == here


def test_what_names_no_host_is_not_this_machine() -> None:
    assert not is_loopback("")
    assert not is_loopback("/v1")
