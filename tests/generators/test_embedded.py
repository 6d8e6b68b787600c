"""Generated items over the embedded model: one sort here, all of them in `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import command
from quantrial.registry import OWN

SORTS = [
    name if name == "languages" else pytest.param(name, marks=pytest.mark.soak)
    for name in OWN["quantrial.generators"]
]


@pytest.mark.parametrize("name", SORTS)
def test_the_embedded_model_is_asked_and_a_decision_is_made(name: str, tmp_path: Path) -> None:
    path, run = tmp_path / "study.yaml", tmp_path / "run"
    command("init", path, "--workload", name, "--generate", "2")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(one for one in lines if "quantize: Q8_0" not in one), "utf-8")
    said = command("run", path, "-o", run)
    assert said.returncode == 0, said.stderr
    # a model this small gets hardly any of them right, and so few items show nothing
    assert "f16" in said.stdout.split("Report:")[0]
