"""Periodic real-time tasks: what runs again and again, how long, by when, may it leave."""

import msgspec

from mutualedge.model import AssuranceLevel
from mutualedge.plan.scenario.ranges import Label, NotNegative, Period, Positive, Share


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task of an enterprise; times are at the full speed of a node whose speed is 1.

    Attributes:
        wcet_ms: Worst-case execution time of one job.
        period_ms: Shortest time between two releases.
        deadline_ms: Longest time from release to result, at most the period; the period if absent.
        memory_mb: What it occupies where it runs.
        active_ratio: Share of time in which its memory is accessed rather than kept.
        code_kb: Size of the program; sent once, not with each job.
        input_kb: Sent with each job that is offloaded.
        output_kb: Comes back with each job that is offloaded.
        send_ms: Processor time at home to hand one job over to the network.
        receive_ms: Processor time at home to take its result back.
        uplink_mbit: Its own link upwards, Mbit/s; that of the enterprise if absent.
        downlink_mbit: Its own link downwards, Mbit/s; that of the enterprise if absent.
        offloadable: Whether it may leave its enterprise.
        assurance: Weakest protection under which it may leave.
    """

    name: Label
    wcet_ms: Positive
    period_ms: Period
    deadline_ms: Period | None = None
    memory_mb: NotNegative = 0.0
    active_ratio: Share = 0.1
    code_kb: NotNegative = 0.0
    input_kb: NotNegative = 0.0
    output_kb: NotNegative = 0.0
    send_ms: NotNegative = 0.0
    receive_ms: NotNegative = 0.0
    uplink_mbit: Positive | None = None
    downlink_mbit: Positive | None = None
    offloadable: bool = True
    assurance: AssuranceLevel = AssuranceLevel.SIMULATED

    def __post_init__(self) -> None:
        """Refuse a job that would be awaited beyond its successor's release."""
        if self.deadline_ms is not None and self.deadline_ms > self.period_ms:
            message = (
                f"task {self.name}: deadline_ms ({self.deadline_ms:g}) must not exceed period_ms "
                f"({self.period_ms:g})"
            )
            raise ValueError(message)

    @property
    def relative_deadline_ms(self) -> float:
        """The deadline, counted from the release."""
        return self.period_ms if self.deadline_ms is None else self.deadline_ms
