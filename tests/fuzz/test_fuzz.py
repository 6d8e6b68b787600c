"""Mangled input of every kind: 100 cases each here, a hundred thousand in `make soak`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fuzz.harness import Target, data_of, fuzz, run_case
from fuzz.targets import all_targets
from quantrial.errors import DataError, StudyError

NAMES = ("study", "gguf", "replies", "texts", "logs", "records", "items")
CASES, MANY = 100, 100_000


@pytest.fixture(scope="module")
def targets() -> Iterator[Mapping[str, Target]]:
    with all_targets() as made:
        yield made


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(tmp_path / "cache"))


def check(target: Target, cases: range) -> None:
    found = fuzz(target, cases)
    assert not found, "\n\n".join(map(str, found))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mangled_is_read_or_refused(targets: Mapping[str, Target], name: str) -> None:
    assert set(targets) == set(NAMES)
    check(targets[name], range(CASES))


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_thousand_cases(targets: Mapping[str, Target], name: str) -> None:
    check(targets[name], range(CASES, MANY))


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_read_as_they_are(targets: Mapping[str, Target], name: str) -> None:
    """What is never accepted would be mangled for nothing: some samples are errors on purpose."""
    target = targets[name]
    refused = 0
    for sample in target.samples:
        alone = Target(name, [sample], [b""], target.run)
        try:
            alone.run(sample)
        except Exception:
            refused += 1
    assert refused <= 3


def test_a_case_is_the_same_bytes_every_time_and_a_failing_one_is_told() -> None:
    def breaks(data: bytes) -> None:
        if b"x" in data:
            raise KeyError("x")
        raise StudyError("no x")

    target = Target("t", [b"abcdef"], [b"x"], breaks)
    assert [data_of(target, n) for n in range(50)] == [data_of(target, n) for n in range(50)]
    assert len({data_of(target, n) for n in range(50)}) > 20
    found = fuzz(target, range(200), most=3)
    assert len(found) == 3
    again = run_case(target, found[0].case)
    assert again is not None
    assert again.data == found[0].data
    assert "KeyError: 'x'" in str(again)
    assert f"--case {again.case}" in str(again)


def test_a_warning_of_numpy_or_too_much_work_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import warnings

    import cpu

    monkeypatch.setattr(cpu, "LIMIT", 0.1)

    def warns(_: bytes) -> None:
        warnings.warn("invalid value", RuntimeWarning, stacklevel=1)

    def works(_: bytes) -> None:
        import time

        until = time.process_time() + 2 * cpu.LIMIT * cpu.slowness()
        while time.process_time() < until:
            pass

    assert "RuntimeWarning" in str(run_case(Target("t", [b"a"], [b"x"], warns), 0))
    assert "s of CPU" in str(run_case(Target("t", [b"a"], [b"x"], works), 0))


@pytest.mark.parametrize("count", ["1e40", "18446744073709551616", "9007199254740992", "9" * 400])
def test_a_count_of_a_log_that_no_record_holds_is_named(
    targets: Mapping[str, Target], count: str
) -> None:
    log = targets["logs"].samples[0].replace(b'"prompt_eval_count": 100', b'"prompt_eval_count": N')
    assert b"N" in log
    with pytest.raises(DataError, match=r"line 1: (timing.prompt_eval_count is|not valid JSON)"):
        targets["logs"].run(log.replace(b": N", b": " + count.encode()))
