"""What the runner asks of an engine, and how fuel relates to time."""

from collections.abc import Callable, Mapping
from statistics import median_low
from typing import Literal, Protocol

import msgspec

from mutualedge.errors import Meaning, UsageError
from mutualedge.functions.bundle import VerifiedBundle
from mutualedge.model import NS_PER_MS

ExecutionStatus = Literal[
    "ok",
    "refused",
    "refused.input",
    "trap.arithmetic",
    "trap.epoch",
    "trap.fuel",
    "trap.memory",
    "trap.other",
    "trap.output",
    "trap.stack",
    "trap.unreachable",
]
"""How a call ended. ``refused``: the function rejects its request; ``refused.input``: it is longer
than the manifest allows; ``trap.output``: the response lies outside memory or is too long;
``trap.epoch``: wall time, the only ending that another machine need not repeat."""

_MEND = "Mend the function, or send it what it was made for."
_LARGER = "Send less at once, or bundle the function with larger limits."

STATUS_MEANINGS: Mapping[str, Meaning] = {
    "refused": Meaning(
        "functions.refused", "The function rejects its request.", "Send what it was made for."
    ),
    "refused.input": Meaning(
        "functions.refused.input", "The request is longer than the function takes.", _LARGER
    ),
    "trap.arithmetic": Meaning(
        "functions.trap.arithmetic", "The function divided by zero or overflowed.", _MEND
    ),
    "trap.epoch": Meaning(
        "functions.trap.epoch",
        "The function was stopped after its time; its processor was taken away.",
        "Send it again; if it lasts, give the runner real-time priority.",
    ),
    "trap.fuel": Meaning(
        "functions.trap.fuel",
        "The function was stopped: it needs more instructions than its time allows.",
        _LARGER,
    ),
    "trap.memory": Meaning(
        "functions.trap.memory", "The function reached outside its memory.", _MEND
    ),
    "trap.other": Meaning("functions.trap.other", "The engine stopped the function.", _MEND),
    "trap.output": Meaning(
        "functions.trap.output", "The response is too long or outside memory.", _MEND
    ),
    "trap.stack": Meaning("functions.trap.stack", "The function used up its stack.", _LARGER),
    "trap.unreachable": Meaning(
        "functions.trap.unreachable", "The function gave up by itself.", _MEND
    ),
}
"""What a device is told for each status but ``ok``."""

STATUS_UNKNOWN = Meaning(
    "functions.status.unknown",
    "The function ended in a way this release has no word for.",
    "Update this node, or ask the partner what its runner is.",
)

CALIBRATION_RUNS = 101
"""Odd, so that the median is one of them; a tenth of a second for a function of a millisecond."""

CALIBRATION_WARM_UP_RUNS = 10
"""Not counted: they fill caches."""

FUEL_MARGIN_PERCENT = 25
"""Speed withheld from the measured one: other inputs mix slower instructions (a division counts
as much fuel as an addition), and other loads share the caches. Not a proof: wall time backs it."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as measured where it ran.

    Attributes:
        output: The response; empty unless ``status`` is ``ok``.
        fuel: Instructions the engine counted; equal on re-execution by the same engine.
        memory_bytes: Linear memory at the end, which is its largest: it never shrinks.
        cpu_ns: Processor time of the thread, as far as its host tells the truth.
    """

    status: ExecutionStatus
    output: bytes
    fuel: int
    memory_bytes: int
    cpu_ns: int


class LoadedFunction(Protocol):
    """A function ready to be called; calls share nothing."""

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        """Return how the call went; whatever the function does, nothing is raised.

        Args:
            request: Bytes from the caller.
            fuel_limit: Most fuel for this call; the manifest's limit caps it and is the default.
        """
        ...


class Runtime(Protocol):
    """An engine."""

    @property
    def name(self) -> str:
        """Name and version, as usage records carry it: fuel compares only within one."""
        ...

    def load(self, bundle: VerifiedBundle) -> LoadedFunction:
        """Return the function of a bundle.

        Raises:
            MutualEdgeError: The module is not acceptable (``functions.module.…``) or the engine
                is not one of the vendor's (``functions.engine.version``).
        """
        ...


def meaning_of(status: str) -> Meaning:
    """Return what a status other than ``ok`` says; a partner's runner may be of another release."""
    return STATUS_MEANINGS.get(status, STATUS_UNKNOWN)


def calibrate(function: LoadedFunction, sample: bytes, clock_ns: Callable[[], int]) -> int:
    """Return how much fuel a millisecond may be given, the margin already taken off.

    The whole call is timed, its start included, so that short functions get less fuel than
    their instructions alone would allow.

    Args:
        function: What to measure; another function mixes instructions differently.
        sample: A typical request.
        clock_ns: Processor time of this thread, or any monotonic clock; nanoseconds.

    Raises:
        UsageError: The function does not answer the sample, or the clock stands still.
    """
    runs = CALIBRATION_WARM_UP_RUNS + CALIBRATION_RUNS
    timed = [_timed(function, sample, clock_ns) for _ in range(runs)]
    fuel = timed[0][0]
    elapsed_ns = median_low(each for _, each in timed[CALIBRATION_WARM_UP_RUNS:])
    if elapsed_ns <= 0:
        sentence = f"The clock moved {elapsed_ns} ns during a call; calibrate with another one."
        raise UsageError("functions.calibration.clock", sentence)
    fuel_per_ms = fuel * NS_PER_MS * (100 - FUEL_MARGIN_PERCENT) // (100 * elapsed_ns)
    if fuel_per_ms < 1:
        sentence = f"{fuel} fuel in {elapsed_ns} ns is no basis; calibrate with a larger request."
        raise UsageError("functions.calibration.sample", sentence)
    return fuel_per_ms


def _timed(function: LoadedFunction, sample: bytes, clock_ns: Callable[[], int]) -> tuple[int, int]:
    started_ns = clock_ns()
    execution = function.run(sample)
    elapsed_ns = clock_ns() - started_ns
    if execution.status != "ok":
        sentence = f"The calibration request ended with '{execution.status}'; bundle another one."
        raise UsageError("functions.calibration.sample", sentence)
    return execution.fuel, elapsed_ns


def fuel_for_budget(budget_ns: int, fuel_per_ms: int) -> int:
    """Return the fuel limit that enforces a time budget, at least 1."""
    return max(1, budget_ns * fuel_per_ms // NS_PER_MS)
