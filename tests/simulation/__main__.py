"""``make sim SEEDS=N``: run seeds, name those that fail, count how often each fault struck."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenarios import Result, plan_of, shortcomings, simulate
from tests.simulation.schedule import Counts

PROGRESS_SEEDS = 100
"""Seeds between two lines that say how far we are."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    told = parser.parse_args()
    seeds = range(told.first, told.first + told.seeds)
    started_s = time.monotonic()
    totals, failed, done = Counts(), 0, 0
    with ProcessPoolExecutor(told.processes) as pool:
        for result in pool.map(simulate, map(plan_of, seeds), chunksize=4):
            failed += _report(result)
            done += 1
            if done % PROGRESS_SEEDS == 0:
                elapsed_s = time.monotonic() - started_s
                sys.stdout.write(f"{done} seeds, {failed} failed, {elapsed_s:.0f} s\n")
                sys.stdout.flush()
            for name, count in result.counts.items():
                totals.add(name, count)
    for name in sorted(totals.values):
        sys.stdout.write(f"{totals[name]:>12} {name}\n")
    elapsed_s = time.monotonic() - started_s
    sys.stdout.write(f"{told.seeds - failed} passed, {failed} failed in {elapsed_s:.0f} s\n")
    return 1 if failed else 0


def _report(result: Result) -> bool:
    failure = shortcomings(result)
    if failure:
        sys.stdout.write(f"seed {result.seed} ({result.lie or 'no lie'}): {failure}\n")
    return bool(failure)


if __name__ == "__main__":
    sys.exit(main())
