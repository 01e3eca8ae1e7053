"""What a plan puts on each node, task by task."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from mutualedge.plan.plans import Chosen
from mutualedge.plan.scenario import Cloud, Enterprise, Level, Memory, Node, Scenario, Task

US_PER_MS = 1_000
SLIVER_US = 1e-6
"""What binary fractions may add to a whole microsecond; no clock sees it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Jobs of one kind on one processor; written by position, a row of three times.

    Attributes:
        execution_us: Of each job.
        deadline_us: Counted from its release.
        period_us: Between two releases.
    """

    execution_us: int
    deadline_us: int
    period_us: int


@dataclass(slots=True)
class Burden:
    """What a plan puts on one node."""

    streams: list[Stream] = field(default_factory=list)
    memory_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where exactly on a node a task runs."""

    owner: Enterprise
    node: Node
    level: Level
    memory: Memory

    @property
    def speed(self) -> float:
        """Relative to the one that execution times speak of."""
        return self.node.speed * self.level.scale * self.memory.scale


def find_seat(owner: Enterprise, node: Node, chosen: Chosen) -> Seat | None:
    """Return the level and memory that were chosen, if the node has them."""
    memory = next((each for each in node.memories if each.name == chosen.memory), None)
    if memory is None or chosen.level is None or not 0 <= chosen.level < len(node.levels):
        return None
    return Seat(owner=owner, node=node, level=node.levels[chosen.level], memory=memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """A job that leaves: how long each of its parts takes, and what its deadline leaves over.

    Attributes:
        remote_us: Of its execution.
        slack_us: Of the deadline, after all parts and the network; negative if they do not fit.
    """

    task: Task
    send_us: int
    remote_us: int
    receive_us: int
    slack_us: int


def round_up_us(ms: float) -> int:
    """Return work in whole microseconds."""
    return math.ceil(ms * US_PER_MS - SLIVER_US)


def round_down_us(ms: float) -> int:
    """Return a deadline or period in whole microseconds."""
    return math.floor(ms * US_PER_MS + SLIVER_US)


def travel(home: Enterprise, task: Task, latency_ms: float, speed: float) -> Journey:
    """Return the parts of a job that leaves.

    Args:
        home: Whose job it is.
        task: Of which it is a job.
        latency_ms: One way.
        speed: Where it executes, relative to the one its execution time speaks of.
    """
    kilobit = 8 * 1_024
    up_ms = task.input_kb * kilobit / ((task.uplink_mbit or home.link.uplink_mbit) * 1e6) * 1e3
    down_ms = (
        task.output_kb * kilobit / ((task.downlink_mbit or home.link.downlink_mbit) * 1e6) * 1e3
    )
    send_us, receive_us = round_up_us(task.send_ms), round_up_us(task.receive_ms)
    remote_us = round_up_us(task.wcet_ms / speed)
    waiting_us = round_up_us(up_ms + down_ms + 2 * latency_ms)
    return Journey(
        task=task,
        send_us=send_us,
        remote_us=remote_us,
        receive_us=receive_us,
        slack_us=round_down_us(task.relative_deadline_ms)
        - (waiting_us + send_us + remote_us + receive_us),
    )


def stay(task: Task, speed: float) -> Stream:
    """Return the jobs of a task at home."""
    return Stream(
        round_up_us(task.wcet_ms / speed),
        round_down_us(task.relative_deadline_ms),
        round_down_us(task.period_ms),
    )


def at_gateway(journey: Journey, *, is_lent: bool) -> Iterator[Stream]:
    """Yield what the gateway does for a job that leaves."""
    period_us = round_down_us(journey.task.period_ms)
    send_more_us, receive_more_us = _slack_shares(journey, is_lent=is_lent)
    if journey.send_us:
        yield Stream(journey.send_us, journey.send_us + send_more_us, period_us)
    if journey.receive_us:
        yield Stream(journey.receive_us, journey.receive_us + receive_more_us, period_us)


def at_partner(journey: Journey) -> Stream:
    """Return what a partner's node does for a job that leaves."""
    send_more_us, receive_more_us = _slack_shares(journey, is_lent=True)
    more_us = journey.slack_us - send_more_us - receive_more_us
    return Stream(
        journey.remote_us, journey.remote_us + more_us, round_down_us(journey.task.period_ms)
    )


def _slack_shares(journey: Journey, *, is_lent: bool) -> tuple[int, int]:
    """Return how much slack sending and receiving are given, in proportion to their work.

    A rented server starts at once and needs none: there, receiving is given what sending leaves.
    """
    work_us = journey.send_us + journey.receive_us + (journey.remote_us if is_lent else 0)
    send_more_us = math.floor(journey.slack_us * (journey.send_us / max(work_us, 1)))
    if not is_lent:
        return send_more_us, journey.slack_us - send_more_us
    return send_more_us, math.floor(journey.slack_us * (journey.receive_us / max(work_us, 1)))


def find_place(scenario: Scenario, name: str) -> tuple[Enterprise | None, Node | Cloud] | None:
    """Return a node with its owner, or a cloud with nobody, by its name."""
    for owner, node in scenario.nodes:
        if node.name == name:
            return owner, node
    for cloud in scenario.clouds:
        if cloud.name == name:
            return None, cloud
    return None
