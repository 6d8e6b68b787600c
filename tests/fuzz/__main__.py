"""`python -m fuzz [TARGET ...] [--cases N] [--start N] [--case N]`: what `make fuzz` runs."""

from __future__ import annotations

import argparse
import sys
import time

from fuzz.harness import data_of, fuzz, run_case
from fuzz.targets import all_targets


def main() -> int:
    """Fuzz the targets named, or all; 1 where a case breaks the contract."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("target", nargs="*")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--case", type=int)
    asked = parser.parse_args()
    bad = 0
    with all_targets() as targets:
        for name in asked.target or targets:
            target, began = targets[name], time.process_time()
            if asked.case is not None:
                sys.stdout.write(f"{data_of(target, asked.case)!r}\n")
                failure = run_case(target, asked.case)
                found = [] if failure is None else [failure]
            else:
                found = fuzz(target, range(asked.start, asked.start + asked.cases))
            bad += len(found)
            for failure in found:
                sys.stdout.write(f"{failure}\n\n")
            took = time.process_time() - began
            sys.stdout.write(f"{name}: {len(found)} failures, {took:.1f} s of CPU\n")
            sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
