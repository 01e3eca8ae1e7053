"""What became of the readings: counted per enterprise, as their devices saw it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mutualedge.model import EnterpriseId, InvocationId

NOT_PLACED = ("admission.", "booking.", "market.", "node.device.", "node.timing.")
"""Codes of refusals at once: no room, so nothing was accepted. Every other code means that the
call was accepted, or may have been, and no result came of it."""

NOT_PLACED_EITHER = frozenset({"node.runner.absent"})


class Outcome(StrEnum):
    """How one question of a device ended."""

    LOCAL = "local"
    OFFLOADED = "offloaded"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of a device and its end.

    Attributes:
        hour: Of the rehearsal's day in which the device asked.
        placed: Who computed the result; empty without one.
        latency_s: From the device's question to its answer, at the device.
        code: Why there is no result.
    """

    enterprise: EnterpriseId
    invocation: InvocationId
    hour: int
    outcome: Outcome
    latency_s: float
    is_late: bool = False
    placed: str = ""
    code: str = ""

    @property
    def is_miss(self) -> bool:
        """Whether somebody waited in vain: an answer after its deadline, or none at all."""
        return self.is_late or self.outcome is Outcome.UNANSWERED


def outcome_of_refusal(code: str) -> Outcome:
    """Return whether a node said no at once, or gave up on what it had accepted."""
    if code.startswith(NOT_PLACED) or code in NOT_PLACED_EITHER:
        return Outcome.REFUSED
    return Outcome.UNANSWERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What became of one enterprise's questions; a latency is of answers only, zero without any."""

    local: int
    offloaded: int
    refused: int
    unanswered: int
    deadline_misses: int
    latency_ms_p50: float
    latency_ms_p99: float

    @property
    def invocations(self) -> int:
        """All questions."""
        return self.answered + self.refused + self.unanswered

    @property
    def answered(self) -> int:
        """Questions with a result."""
        return self.local + self.offloaded


class Tally:
    """Every question asked so far."""

    def __init__(self) -> None:
        """Start with none."""
        self._asked: list[Asked] = []

    def add(self, asked: Asked) -> None:
        """Take one that ended."""
        self._asked.append(asked)

    def count(self, enterprise: EnterpriseId, hours: Iterable[int] | None = None) -> Count:
        """Return what became of an enterprise's questions, all or those of some hours."""
        asked = self._of(enterprise, hours)
        outcomes = Counter(each.outcome for each in asked)
        answers = sorted(each.latency_s for each in asked if each.placed)
        return Count(
            local=outcomes[Outcome.LOCAL],
            offloaded=outcomes[Outcome.OFFLOADED],
            refused=outcomes[Outcome.REFUSED],
            unanswered=outcomes[Outcome.UNANSWERED],
            deadline_misses=sum(each.is_miss for each in asked),
            latency_ms_p50=1000 * quantile(answers, 50),
            latency_ms_p99=1000 * quantile(answers, 99),
        )

    def lenders(self, enterprise: EnterpriseId, hours: Iterable[int]) -> Counter[str]:
        """Return who computed results for an enterprise in some hours, itself not counted."""
        asked = self._of(enterprise, hours)
        return Counter(each.placed for each in asked if each.outcome is Outcome.OFFLOADED)

    def offloaded(self) -> frozenset[InvocationId]:
        """Return what partners gave results for."""
        return frozenset(
            each.invocation for each in self._asked if each.outcome is Outcome.OFFLOADED
        )

    def reasons(self, enterprise: EnterpriseId) -> Counter[str]:
        """Return why questions got no result, by code."""
        return Counter(each.code for each in self._of(enterprise, None) if each.code)

    def _of(self, enterprise: EnterpriseId, hours: Iterable[int] | None) -> list[Asked]:
        wanted = None if hours is None else set(hours)
        return [
            each
            for each in self._asked
            if each.enterprise == enterprise and (wanted is None or each.hour in wanted)
        ]


def quantile(ascending: Sequence[float], percent: int) -> float:
    """Return the smallest number that so many percent do not exceed (nearest rank); 0 of none."""
    if not ascending:
        return 0.0
    return ascending[max(0, -(-percent * len(ascending) // 100) - 1)]
