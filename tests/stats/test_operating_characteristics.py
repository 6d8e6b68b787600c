import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "operating_characteristics.py"


def run(out: Path, family: str) -> str:
    options = ["--effort", "0.01", "--jobs", "1", "--only", family, "--out", str(out)]
    command = [sys.executable, str(BENCHMARK), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_operating_characteristics_against_simulation_resume_with_the_same_figures(
    tmp_path: Path,
) -> None:
    out = tmp_path / "figures.jsonl"
    first = run(out, "familywise")
    assert "every promised limit holds" in first
    lines = out.read_text(encoding="utf-8").splitlines()
    assert all(0.0 <= json.loads(line)["figures"]["family-wise error"] <= 0.2 for line in lines)
    # killed within the fifth cell: the torn line is measured again, to the same figures
    out.write_text("\n".join(lines[:4]) + "\n" + lines[4][:30], encoding="utf-8")
    assert run(out, "familywise") == first
    assert out.read_text(encoding="utf-8").splitlines() == lines
