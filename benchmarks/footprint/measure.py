"""Time fresh interpreters in turns, and look at the processes of a consortium that has worked."""

import asyncio
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns

import uvloop

from benchmarks.consortium import LENDER, PERIOD_MS, borrower, lending_consortium
from benchmarks.lines import Detail, Metric, Target, judged, timed
from benchmarks.media import fresh_folder, media
from mutualedge.app.founding import HUB

STARTS = 15
WARM_UP_CALLS = 300
"""Nearly a full round of vouchers, checkpoints and blocks, and every code path of a call."""

COMMAND = str(Path(sysconfig.get_path("scripts")) / "mutualedge")
IMPORT = "from time import perf_counter_ns as now; t = now(); import {}; print(now() - t)"
IMPORTS = {
    "mutualedge": (Target(quantity="p50", at_most=60.0),),
    "mutualedge.cli": (),
    "mutualedge.app.processes": (),
}
"""The package, what its command line needs, what a node process needs; with the target of each."""

BYTES_PER_MB = 1_000_000

RUNNER = "mutualedge.app.runner_process"
LIMITS_MB = {"node": 80.0, "runner": 60.0}


def run() -> list[Metric]:
    """Return import and start times, then memory per process."""
    return [*_start_times(), *_memory()]


def _start_times() -> list[Metric]:
    imports: dict[str, list[int]] = {name: [] for name in IMPORTS}
    starts: dict[str, list[int]] = {"bare": [], "help": []}
    for _ in range(STARTS):
        starts["bare"].append(_wall_ns([sys.executable, "-c", "pass"]))
        starts["help"].append(_wall_ns([COMMAND, "--help"]))
        for name, times in imports.items():
            command = [sys.executable, "-c", IMPORT.format(name)]
            times.append(int(subprocess.run(command, check=True, capture_output=True).stdout))
    bare = ("python -c pass", starts["bare"])
    return [
        *(
            timed(f"import {name}", imports[name], unit="ms", targets=IMPORTS[name])
            for name in imports
        ),
        timed("mutualedge --help, whole process", starts["help"], unit="ms", baseline=bare),
    ]


def _wall_ns(command: list[str]) -> int:
    begun_ns = perf_counter_ns()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter_ns() - begun_ns


def _memory() -> list[Metric]:
    with (
        fresh_folder(media()["disk"]) as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_warm_memory(folder))


async def _warm_memory(folder: Path) -> list[Metric]:
    """Have a lender work for a borrower, then return what each of its processes holds."""
    async with (
        lending_consortium(folder) as pids,
        borrower(folder) as ours,
        ours.life(has_runner=False) as life,
    ):
        await life.wait_session()
        for _ in range(WARM_UP_CALLS):
            await life.offload()
            await asyncio.sleep(PERIOD_MS / 1_000)
        found = {"node": pids[LENDER], "runner": _runner_below(pids[LENDER]), "hub": pids[HUB]}
        return [_held(name, pid) for name, pid in found.items()]


def _runner_below(pid: int) -> int:
    """Return the runner's own process: the innermost, whatever walls stand around it."""
    found = [each for each in _descendants(pid) if RUNNER in _command(each)]
    return found[-1]


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from _descendants(child)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _held(name: str, pid: int) -> Metric:
    """Return the resident set; pages shared with other processes count in full in it."""
    status = _sizes_mb(Path(f"/proc/{pid}/status"))
    detail: Detail = {"peak_mb": status["VmHWM"]}
    try:
        detail["pss_mb"] = _sizes_mb(Path(f"/proc/{pid}/smaps_rollup"))["Pss"]
    except PermissionError:
        detail["pss_mb"] = "not readable for this user"
    limit = LIMITS_MB.get(name)
    targets = () if limit is None else (Target(quantity="p50", at_most=limit),)
    metric = f"{name} process, resident after {WARM_UP_CALLS} calls"
    return judged(
        Metric(metric=metric, n=1, unit="MB", p50=status["VmRSS"], targets=targets, detail=detail)
    )


def _sizes_mb(path: Path) -> dict[str, float]:
    """Return the kernel's sizes (it says kB and means 1,024 bytes)."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if line.endswith(" kB"))
    return {name: round(int(value.split()[0]) * 1024 / BYTES_PER_MB, 1) for name, value in pairs}
