"""Benchmarks beside imported answers: what llama-bench, vLLM and llama-perplexity measured.

They are evidence beside a verdict and never one: each ends in a note of the run, with what it
cannot say.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.errors import DataError, StudyError
from quantrial.importers.log_rows import as_number, parse_log
from quantrial.registry import hint_of
from quantrial.tasks.rows import Where

BENCHMARKS = {"llama-bench": "llama-bench", "llama-perplexity": "llama-perplexity", "vllm": "vLLM"}
_LARGEST = 200 * 10**6  # bytes; vLLM's file has a number a token
_BESIDE_RUNS = (
    "One run of each arm after the other: a machine that got slower or warmer in between counts as "
    "a difference of the arms"
)
# what a test of llama-bench measured, and what it says of the model
_MEASURED = re.compile(r"(avg|stddev|samples)_(ns|ts)|test_time|model_\w+")
_STATISTICS = {  # of llama-perplexity
    "perplexity": r"(?:Final estimate: PPL =|Mean PPL\(Q\) *:)\s*(\S+)",
    "perplexity ratio to its base": r"Mean PPL\(Q\)/PPL\(base\) *:\s*(\S+)",
    "mean KL divergence in nats": r"Mean +KLD *:\s*(\S+)",
    "its median": r"Median +KLD *:\s*(\S+)",
    "its 99 % quantile": r"99\.0% +KLD *:\s*(\S+)",
    "same likeliest token in %": r"Same top p *:\s*(\S+)",
}


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """What a benchmark says of arms.

    Attributes:
        program: `llama-bench`, `llama-perplexity` or `vllm`.
        arms: the arms that were measured.
        reference: the one that the others are compared with.
        findings: sentences, each with its interval where there is one.
        folder: where they were written, if anywhere.
        in_run: whether that is a run, so that they stand beside its verdict.
    """

    program: str
    arms: tuple[str, ...]
    reference: str
    findings: tuple[str, ...]
    folder: Path | None = None
    in_run: bool = False


def notes_beside(
    files: Sequence[tuple[str, Path]],
    arms: Sequence[str],
    reference: str,
    *,
    program: str | None = None,
) -> tuple[str, ...]:
    """Say what benchmarks of arms tell beside their answers.

    Args:
        files: the file of each arm; an arm may have several, of different programs.
        arms: the arms of the run.
        reference: the one that the others are compared with.
        program: the one of `BENCHMARKS` that wrote them all; any by default.

    Raises:
        StudyError: there is no such arm.
        DataError: a file is of none of these programs, lacks what is needed, or does not fit that
            of the reference.
    """
    found: dict[str, dict[str, tuple[Path, Any]]] = {}
    notes, read = [], []
    for arm, path in files:
        if arm not in arms:
            raise StudyError(
                f"there is no arm {arm!r}; {hint_of(arm, arms, 'there is: ')}", key="--beside"
            )
        data = _bytes(path)
        read.append(f"{path.name} (sha256 {hashlib.sha256(data).hexdigest()[:12]})")
        by, value = _parsed(path, data)
        if program is not None and by != BENCHMARKS[program]:
            raise DataError(f"is of {by}; expected a file of {BENCHMARKS[program]}", path=path)
        own = found.setdefault(by, {})
        if arm in own:
            raise DataError(f"is a second file of {by} of {arm}; name one", path=path)
        own[arm] = path, value
        if by == "llama-perplexity":
            notes.append(_perplexity(arm, path, value))
    for by, own in found.items():
        if by == "llama-perplexity":
            continue
        if reference not in own or len(own) < 2:
            lacking = reference if reference not in own else "another arm"
            first = next(iter(own.values()))[0]
            raise DataError(f"is of {by}; name the file of {lacking}, too", path=first)
        compare = _llama_bench if by == "llama-bench" else _vllm
        for arm in own:
            if arm != reference:
                notes += compare(reference, arm, own[reference], own[arm])
    return (*notes, f"Read beside the answers: {', '.join(read)}.") if read else ()


def _bytes(path: Path) -> bytes:
    try:
        with paths.open_file(path) as file:
            data = file.read(_LARGEST + 1)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc
    if len(data) > _LARGEST:
        raise DataError(f"is larger than {_LARGEST:,} bytes", path=path)
    return data


def _parsed(path: Path, data: bytes) -> tuple[str, Any]:
    """Return the program that wrote a file, and what is in it."""
    start = data.lstrip()[:1]
    if start in (b"[", b"{"):
        lines = data.splitlines()
        one = start == b"[" or len(lines) < 2 or not lines[0].rstrip().endswith(b"}")
        if one:
            value = parse_log(data, Where(path, 1))
        else:
            numbered = enumerate(lines, start=1)
            value = [parse_log(line, Where(path, at)) for at, line in numbered if line.strip()]
        if isinstance(value, dict) and "num_prompts" in value:
            return "vLLM", _requests(path, value)
        tests = value if isinstance(value, list) else [value]
        if tests and all(isinstance(one, dict) and "n_gen" in one for one in tests):
            return "llama-bench", _tests(path, tests)
    elif b"PPL" in data or b"KLD" in data:
        return "llama-perplexity", data.decode("utf-8", "replace")
    elif b"llama_bench" in data or b"n_gen" in data[:10_000]:
        raise DataError(
            "holds averages of llama-bench and no single runs: write it with `-o json`", path=path
        )
    raise DataError(
        "is no JSON of llama-bench (`-o json`) or `vllm bench serve --save-detailed`, and no "
        "output of llama-perplexity",
        path=path,
    )


def _perplexity(arm: str, path: Path, text: str) -> str:
    found = []
    for what, pattern in _STATISTICS.items():
        if (match := re.search(pattern, text)) and (value := _number(match[1])) is not None:
            found.append(f"{what} {value:.6g}")
    if not found:
        raise DataError(
            "holds no final figures of llama-perplexity: did it end before its last chunk?",
            path=path,
        )
    return (
        f"{arm}, by llama-perplexity: {', '.join(found)}. Beside the verdict, "
        "and none: tokens of one text are not independent, so its ± is too small, and text that is "
        "continued is not a task that is answered."
    )


def _number(text: str) -> float | None:
    try:
        value = float(text.rstrip("%,"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _llama_bench(
    reference: str, arm: str, one: tuple[Path, Any], other: tuple[Path, Any]
) -> Iterator[str]:
    """Compare each test that both arms ran with the same settings, by the runs' logarithms."""
    mine, theirs = one[1], other[1]
    both = [key for key in mine if key in theirs]
    if not both:
        first, second = dict(next(iter(mine))), dict(next(iter(theirs)))
        names = [key for key in first | second if first.get(key) != second.get(key)]
        raise DataError(
            f"has no test with the settings of {one[0]}: other are {', '.join(names[:5])}",
            path=other[0],
        )
    for key in both:
        logs = [[math.log(speed) for speed in own[key]] for own in (mine, theirs)]
        settings = dict(key)
        shape = {name: settings.get(name, "0") for name in ("n_prompt", "n_gen", "n_depth")}
        what = "reads" if shape["n_gen"] == "0" else "writes"
        if "0" not in (shape["n_gen"], shape["n_prompt"]):
            what = "reads and writes"
        aim = ", ".join(f"{name} {value}" for name, value in shape.items() if value != "0")
        yield (
            f"{arm} {what} {_ratio(_welch(*logs))} as fast as {reference}, by llama-bench "
            f"({aim}; {len(logs[1])} and {len(logs[0])} runs). {_BESIDE_RUNS}."
        )
    if left := len(mine) + len(theirs) - 2 * len(both):
        yield f"{left} tests of llama-bench of {reference} or {arm} alone are left out."


def _tests(path: Path, tests: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], list[float]]:
    """Return the speeds of each test's runs, by all its settings."""
    found = {}
    for number, test in enumerate(tests, start=1):
        speeds = test.get("samples_ts")
        values = [as_number(one) for one in speeds] if isinstance(speeds, list) else []
        known = [value for value in values if value is not None and value > 0]
        if not known or len(known) < len(values):
            raise DataError(
                f"test {number} has no speeds in `samples_ts`: write it by `llama-bench -o json`",
                path=path,
            )
        key = tuple(
            (k, str(v)[:200]) for k, v in sorted(test.items()) if not _MEASURED.fullmatch(k)
        )
        if key in found:
            raise DataError(f"test {number} stands there twice", path=path)
        found[key] = known
    return found


def _vllm(
    reference: str, arm: str, one: tuple[Path, Any], other: tuple[Path, Any]
) -> Iterator[str]:
    """Compare the requests of two runs, paired by their order."""
    first, second = one[1], other[1]
    if [ask for ask, _, _ in first] != [ask for ask, _, _ in second]:
        raise DataError(
            f"has other requests than {one[0]} (`input_lens` differ): run both with one data set "
            "and `--seed`",
            path=other[0],
        )
    faults = [sum(row[1] is None for row in rows) for rows in (first, second)]
    for what, at in (("takes", 1), ("writes", 2)):
        pairs = [(a[at], b[at]) for a, b in zip(first, second, strict=True) if a[1] and b[1]]
        logs = [math.log(b / a) for a, b in pairs if a and b]
        if not logs:
            continue
        phrase = (
            f"takes {_ratio(_paired(logs))} as long to the first token as"
            if what == "takes"
            else f"writes {_ratio(_paired(logs))} as fast as"
        )
        yield (
            f"{arm} {phrase} {reference}, by vLLM's benchmark ({len(logs):,} paired requests; "
            f"faults: {reference} {faults[0]}, {arm} {faults[1]}). {_BESIDE_RUNS}."
        )


def _requests(path: Path, value: Mapping[str, Any]) -> list[tuple[int, float | None, float | None]]:
    """Return prompt tokens, seconds to the first token and tokens a second of each request."""
    names = ("input_lens", "output_lens", "ttfts", "latencies", "errors")
    columns = [value.get(name) for name in names]
    if columns[3] is None and isinstance(value.get("itls"), list):
        itls = value["itls"]
        firsts = columns[2] if isinstance(columns[2], list) else []
        sums = [
            sum(as_number(x) or 0.0 for x in own) if isinstance(own, list) else 0 for own in itls
        ]
        columns[3] = [(as_number(a) or 0.0) + b for a, b in zip(firsts, sums, strict=False)]
    lists = [one if isinstance(one, list) else None for one in columns]
    if any(one is None for one in lists) or len({len(one or ()) for one in lists}) != 1:
        raise DataError(
            "holds no figures of single requests: run `vllm bench serve --save-result "
            "--save-detailed`",
            path=path,
        )
    rows: list[tuple[int, float | None, float | None]] = []
    for asked, wrote, start, whole, error in zip(*(one or () for one in lists), strict=True):
        tokens, ttft, seconds = (as_number(one) for one in (wrote, start, whole))
        if error or not tokens or not ttft or ttft <= 0 or not seconds:
            rows.append((asked, None, None))
            continue
        decoding = seconds - ttft
        rows.append((asked, ttft, (tokens - 1) / decoding if decoding > 0 and tokens > 1 else None))
    return rows


Interval = tuple[float, float | None]


def _ratio(found: Interval) -> str:
    """Write a ratio with its interval, from a logarithm and how far that reaches."""
    value, reach = found
    said = f"{math.exp(value):.3g} times"
    if reach is None:
        return f"{said} (no interval from so few runs)"
    low, high = math.exp(value - reach), math.exp(value + reach)
    return f"{said} (95 % interval {low:.3g} to {high:.3g})"


def _welch(one: Sequence[float], other: Sequence[float]) -> Interval:
    value = statistics.fmean(other) - statistics.fmean(one)
    if min(len(one), len(other)) < 2:
        return value, None
    parts = [statistics.variance(own) / len(own) for own in (one, other)]
    if sum(parts) <= 0:
        return value, None
    sizes = (len(one), len(other))
    spread = sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    return value, _quantile(sum(parts) ** 2 / spread) * math.sqrt(sum(parts))


def _paired(logs: Sequence[float]) -> Interval:
    value = statistics.fmean(logs)
    if len(logs) < 2 or not (variance := statistics.variance(logs)) > 0:
        return value, None
    return value, _quantile(len(logs) - 1) * math.sqrt(variance / len(logs))


def _quantile(df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.975))
