"""Benchmarks beside imported answers, by hand: ratios, intervals, figures, refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError, StudyError
from quantrial.importers.beside import notes_beside

LOGS = Path(__file__).parents[1] / "data" / "formats" / "lm-eval"
ARMS = ("f16", "q4")
PERPLEXITY = """\
chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence
   1       6.1018 +/-  1.4112       0.00122 +/-    0.00401       0.00511 +/-    0.00123

====== Perplexity statistics ======
Mean PPL(Q)                   :   7.512345 +/-   0.047123
Mean PPL(Q)/PPL(base)         :   1.012300 +/-   0.000500

====== KL divergence statistics ======
Mean    KLD:   0.012345 +/-   0.000067
Maximum KLD:   3.100000
99.0%   KLD:   0.123000
Median  KLD:   0.004321

====== Token probability statistics ======
Same top p: 95.123 +/- 0.055 %
"""


def bench(path: Path, model: str, *tests: dict[str, Any], lines: bool = False) -> Path:
    """Write what `llama-bench -o json` or `-o jsonl` writes, as far as it is read."""
    rows = [
        {"build_commit": "a1", "model_filename": model, "model_size": 1, "n_threads": 4, **test}
        for test in tests
    ]
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows, indent=2)
    path.write_text(text)
    return path


def speeds(n_prompt: int, n_gen: int, *samples: Any, **more: Any) -> dict[str, Any]:
    mean = {"avg_ts": 1.0, "test_time": f"{samples}"}
    return {"n_prompt": n_prompt, "n_gen": n_gen, "samples_ts": list(samples), **mean, **more}


@pytest.mark.parametrize("lines", [False, True])
def test_speeds_of_llama_bench_by_hand(tmp_path: Path, *, lines: bool) -> None:
    step = math.exp(0.2)
    f16 = bench(
        tmp_path / "a", "a.gguf", speeds(0, 128, 10, 10 * step), speeds(512, 0, 50), lines=lines
    )
    q4 = bench(
        tmp_path / "b",
        "b.gguf",
        speeds(512, 0, 75),
        speeds(0, 128, 20, 20 * step),
        speeds(9, 9, 1),
        lines=lines,
    )
    notes = notes_beside([("q4", q4), ("f16", f16)], ARMS, "f16")
    # logarithms: ln 2 apart, variances of the means 0.01 each, so 2 degrees of freedom (4.3027)
    reach = 4.302653 * math.sqrt(0.02)
    low, high = 2 * math.exp(-reach), 2 * math.exp(reach)
    assert f"q4 writes 2 times (95 % interval {low:.3g} to {high:.3g}) as fast as f16" in notes[0]
    assert "One run of each arm after the other" in notes[0]
    assert "q4 reads 1.5 times (no interval from so few runs) as fast as f16" in notes[1]
    assert notes[2].startswith("1 tests of llama-bench")
    assert notes[3].startswith("Read beside the answers: b (sha256 ")


def served(path: Path, ttfts: list[float], latencies: list[float], **more: Any) -> Path:
    n = len(ttfts)
    value = {"num_prompts": n, "input_lens": [7] * n, "output_lens": [11] * n, "ttfts": ttfts}
    path.write_text(json.dumps({**value, "latencies": latencies, "errors": [""] * n, **more}))
    return path


def test_requests_of_vllm_are_paired_and_faults_are_none(tmp_path: Path) -> None:
    f16 = served(tmp_path / "a", [0.1, 0.1, 0.1], [1.1, 1.1, 1.1])
    # as long and four times as long to the first token; the third failed. 10 tokens in 0.5 s
    q4 = served(tmp_path / "b", [0.1, 0.4, 9.0], [0.6, 0.9, 9.9], errors=["", "", "timeout"])
    notes = notes_beside([("f16", f16), ("q4", q4)], ARMS, "f16")
    # logarithms 0 and ln 4: mean ln 2, its standard error ln 2, and t of 1 degree of freedom
    reach = 12.7062 * math.log(2)
    low, high = 2 * math.exp(-reach), 2 * math.exp(reach)
    assert f"takes 2 times (95 % interval {low:.3g} to {high:.3g}) as long" in notes[0]
    assert "2 paired requests; faults: f16 0, q4 1" in notes[0]
    assert "q4 writes 2 times" in notes[1]


def test_perplexity_is_evidence_and_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "kld.txt"
    path.write_text(PERPLEXITY.replace("+/-", "±"))
    run = tmp_path / "run"
    words = ["import", "lm-eval", *(f"{arm}={LOGS / arm}" for arm in ARMS), "-o", str(run)]
    words += ["--task", "toy_mc", "--beside", f"q4={path}", "--only-import"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    quantrial.analyze(run)
    quantrial.report(run)
    page = (run / "report.md").read_text()
    assert (
        "q4, by llama-perplexity: perplexity 7.51234, perplexity ratio to its base 1.0123, mean KL "
        "divergence in nats 0.012345, its median 0.004321, its 99 % quantile 0.123, same likeliest "
        "token in % 95.123. Beside the verdict, and none" in page
    )
    assert not quantrial.verify(run).drifts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON of llama-bench"),
        ("{", "is no JSON"),
        ("[]", "is no JSON of llama-bench"),
        ("[" * 100_000, "is no JSON"),
        ('{"num_prompts": 3, "mean_ttft_ms": 1}', "--save-detailed"),
        ('{"num_prompts": 1, "input_lens": [1], "output_lens": 3, "errors": [[]]}', "--save-d"),
        ("build_commit,n_gen,avg_ts\na1,128,3.5\n", "holds averages.*`-o json`"),
        ("CREATE TABLE IF NOT EXISTS llama_bench (", "holds averages"),
        ('[{"n_gen": 1, "n_prompt": 0}]', "test 1 has no speeds in `samples_ts`"),
        ('[{"n_gen": 1, "samples_ts": [1, NaN]}]', "test 1 has no speeds"),
        ('[{"n_gen": 1, "samples_ts": [1, -2]}]', "test 1 has no speeds"),
        ("PPL = nan\nMean KLD: \x1b[31m", "holds no final figures"),
    ],
)
def test_what_no_benchmark_says_is_a_typed_error(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "odd"
    path.write_text(text)
    f16 = bench(tmp_path / "a", "a.gguf", speeds(0, 128, 10))
    with pytest.raises(DataError, match=said):
        notes_beside([("f16", f16), ("q4", path), ("q4", path)], ARMS, "f16")


def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    f16 = bench(tmp_path / "a", "a.gguf", speeds(0, 128, 10))
    q4 = bench(tmp_path / "b", "b.gguf", speeds(0, 128, 10, n_threads=8))
    with pytest.raises(DataError, match=r"no test with the settings.*n_threads"):
        notes_beside([("f16", f16), ("q4", q4)], ARMS, "f16")
    with pytest.raises(DataError, match="name the file of f16, too"):
        notes_beside([("q4", q4)], ARMS, "f16")
    with pytest.raises(DataError, match="second file of llama-bench of q4"):
        notes_beside([("q4", q4), ("q4", q4)], ARMS, "f16")
    with pytest.raises(StudyError, match="there is no arm 'q5'"):
        notes_beside([("q5", q4)], ARMS, "f16")
    one, other = served(tmp_path / "c", [0.1], [1.0]), served(tmp_path / "d", [0.1] * 2, [1.0] * 2)
    with pytest.raises(DataError, match="`input_lens` differ"):
        notes_beside([("f16", one), ("q4", other)], ARMS, "f16")


def invoke(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["import", *map(str, words)])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def test_a_benchmark_alone_is_compared_and_is_no_verdict(tmp_path: Path) -> None:
    f16 = served(tmp_path / "a", [0.1, 0.1], [1.1, 1.1])
    q4 = served(tmp_path / "b", [0.2, 0.2], [0.7, 0.7])  # 10 tokens in a second, and in half of one
    out = tmp_path / "runs" / "speed"
    code, said = invoke("vllm", f"q4={q4}", f"f16={f16}", "-o", out)
    assert code == 0, said
    assert "q4 takes 2 times" in said
    assert "q4 writes 2 times" in said
    assert "This is no verdict" in said
    assert "q4 takes 2 times" in (out / "benchmarks.md").read_text()
    kept = json.loads((out / "benchmarks.json").read_text())
    assert (kept["program"], kept["reference"], kept["arms"]) == ("vllm", "f16", ["q4", "f16"])
    assert len(kept["findings"]) == 3
    code, said = invoke("vllm", f"q4={q4}", f"f16={f16}", "-o", out)
    assert code != 0
    assert "is there and no run" in said


def test_a_benchmark_joins_the_run_of_its_arms(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, said = invoke(
        "lm-eval", *(f"{arm}={LOGS / arm}" for arm in ARMS), "-o", run, "--task", "toy_mc"
    )
    assert code == 0, said
    before = json.loads((run / "decision.json").read_text())
    f16 = bench(tmp_path / "a", "a.gguf", speeds(0, 128, 10))
    q4 = bench(tmp_path / "b", "b.gguf", speeds(0, 128, 30))
    for _ in range(2):  # what is there already is not said twice
        code, said = invoke("llama-bench", f"q4={q4}", f"f16={f16}", "-o", run)
        assert code == 0, said
        assert f"This stands in the notes of {run} now" in " ".join(said.split())
    assert (run / "report.md").read_text().count("q4 writes 3 times") == 1
    assert quantrial.verify(run).ok
    after = json.loads((run / "decision.json").read_text())
    assert (after["default"], after["findings"]) == (before["default"], before["findings"])
    code, said = invoke("llama-bench", f"q5={q4}", f"f16={f16}", "-o", run)
    assert code != 0
    assert "there is no arm 'q5'" in said


def test_a_file_of_another_program_is_named(tmp_path: Path) -> None:
    f16 = bench(tmp_path / "a", "a.gguf", speeds(0, 128, 10))
    code, said = invoke("vllm", f"f16={f16}", f"q4={f16}")
    assert code != 0
    assert "is of llama-bench; expected a file of vLLM" in said
    with pytest.raises(StudyError, match="did you mean 'llama-bench'"):
        quantrial.read_benchmarks("lama-bench", {"f16": f16})
    with pytest.raises(StudyError, match="there is no arm 'q8'"):
        quantrial.read_benchmarks("llama-bench", {"f16": f16, "q4": f16}, reference="q8")
