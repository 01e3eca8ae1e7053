"""The published model, evaluated exactly as published, so that old and corrected stand together.

What is odd about it, each with what the corrected model (`mutualedge.plan.options`) does:

1. Execution time, period and memory are divided by 1,000 as integers: a task of 999 ms costs no
   processor at all. Corrected: real units.
2. A period below 1,000 ms divides by zero; the sum is infinite or not a number, and was averaged
   as 0. Corrected: any period from a microsecond.
3. Voltage and frequency belong to the index of the level, slowest first, while times belong to
   the level, fastest first: the fastest level is the cheapest. Corrected: one level, one power.
4. The slowness of an index (5.5 … 1) is not that of the level either. Corrected: from the level.
5. Utilisation above 1 is no obstacle, and the penalty for it rewards missed deadlines below 1.
   Corrected: hard constraints.
6. Memory is taken in KB where powers are per MB. Corrected: units in the names.
7. Transfer takes kilobytes over megabits without the eight; its power is 75 W here and 1.2 W in
   the cost, over links of 30 and 120 Mbit/s whatever the config says, without the program's
   size. Corrected: one network.
8. What is offloaded is told three times: by the index of the ratio for the cost, by the ratio for
   memory, by a constant for times and powers. Corrected: one decision.
9. A server costs nothing: neither its energy nor rent. Corrected: rent, mileage, energy there.
10. Private buys everything twice and uses half. Corrected: as many nodes as the scenario has.
11. Memory that nobody uses is counted with fractions, memory that is used in whole MB. Corrected:
    both as they are.
12. Of a gene that is not accepted the cost is left unset. Here it is not a number.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, nan

import msgspec

from mutualedge.errors import UsageError
from mutualedge.plan.reference.config import ReferenceConfig
from mutualedge.plan.reference.sections import ReferenceTask

SWITCHED_FARAD = 1.8e-9
VOLT = (0.5, 0.65, 0.8, 0.95, 1.1)
HERTZ = (0.4e9, 0.7e9, 1.2e9, 1.6e9, 2.2e9)
SLOWNESS = (5.5, 3.1, 1.8, 1.375, 1.0)
"""Of the indices, slowest first, though the config's levels begin with the fastest (3, 4)."""

MEMORY_ACTIVE_W_PER_MB = 0.002
MEMORY_IDLE_W_PER_MB = 0.0005
LINK_COST_W = 1.2
LINK_POWER_W = 75.0
UPLINK_BIT_S, DOWNLINK_BIT_S = 30e6, 120e6
BITS_PER_KB = 8192

MONTH_S = 2_592_000
USD_PER_KWH = 0.08
USD_MONTH_PER_W = MONTH_S / 3.6e6 * USD_PER_KWH
BASELINE_W = 3.5
HARDWARE_USD_MONTH = 2000 / 94_608_000 * MONTH_S
MEMORY_MB = 45_000
SERVERS_PRIVATE = 2


class Published(StrEnum):
    """The strategies of the published planner; Hybrid costs what Mutual does, and rent above."""

    MUTUAL = "mutual"
    HYBRID = "hybrid"
    PRIVATE = "private"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """What a plan decides for one task, by index: memory, level, server, offloading ratio."""

    memory_index: int
    frequency_index: int
    server_index: int
    ratio_index: int


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """One task as published."""

    utilisation: float
    cpu_w: float
    memory_w: float
    network_w: float
    deadline_ratio: float
    local_usd_month: float
    offload_usd_month: float


class PublishedCost(msgspec.Struct, frozen=True, kw_only=True):
    """A whole gene as published; not a number where the published planner says none.

    Attributes:
        memory_fits: Whether no kind of memory is overfull; a gene is looked at nevertheless.
        accepted: Whether the utilisation stays below the cutoff.
        cpu_w: With what the processor draws idle.
        score_usd_month: The cost, and a share of it as penalty.
        late: Tasks whose offloading ends behind their deadline.
    """

    memory_fits: bool
    accepted: bool
    late: int
    utilisation: float
    power_w: float
    cpu_w: float
    memory_w: float
    network_w: float
    total_usd_month: float
    score_usd_month: float
    cpu_memory_usd_month: float
    network_usd_month: float
    baseline_usd_month: float
    hardware_usd_month: float
    rent_usd_month: float
    constraint_penalty: float
    fitness: float
    tasks: tuple[TaskCost, ...]


def evaluate(
    config: ReferenceConfig, genes: Sequence[Gene], strategy: Published, *, offloads: bool
) -> PublishedCost:
    """Return what the published planner makes of a plan.

    Args:
        config: With the sections that the published planner needs.
        genes: One for each task.
        strategy: Which of the hard-coded variants.
        offloads: The constant that says whether times and powers are those of offloading.

    Raises:
        UsageError: A row is missing, or an index of a gene points behind the last.
    """
    _require_rows(config, genes)
    share = 1.0 if offloads else 0.0
    tasks = tuple(_Setting(config, index, gene, share).cost() for index, gene in enumerate(genes))
    late = sum(task.deadline_ratio > 1 for task in tasks)
    utilisation = sum(task.utilisation for task in tasks)
    is_resting = utilisation < 1 and not late
    idle_w = config.cpufreq[-1].idle_w * (1 - utilisation) if is_resting else 0.0
    cpu_w = sum(task.cpu_w for task in tasks) + idle_w
    memory_w = sum(task.memory_w for task in tasks)
    network_w = sum(task.network_w for task in tasks)
    accepted = utilisation <= config.genetic[0].cutoff
    money = _money(config, genes, strategy, tasks)
    total = sum(money)
    score = total if is_resting else total * (1 + (utilisation - 1) * config.genetic[0].penalty)
    penalty = max(utilisation - 1, 0.0) + _lateness(genes, tasks)
    return PublishedCost(
        memory_fits=_memory_fits(config, genes),
        accepted=accepted,
        late=late,
        utilisation=utilisation,
        power_w=cpu_w + memory_w + network_w if accepted else nan,
        cpu_w=cpu_w,
        memory_w=memory_w,
        network_w=network_w,
        total_usd_month=total if accepted else nan,
        score_usd_month=score if accepted else nan,
        cpu_memory_usd_month=money[0],
        network_usd_month=money[1],
        baseline_usd_month=money[2],
        hardware_usd_month=money[3],
        rent_usd_month=0.0,
        constraint_penalty=penalty,
        fitness=_divided(1.0, total + penalty),
        tasks=tasks,
    )


def _money(
    config: ReferenceConfig,
    genes: Sequence[Gene],
    strategy: Published,
    tasks: Sequence[TaskCost],
) -> tuple[float, float, float, float]:
    """Return processor and memory, network, baseline and hardware, USD a month."""
    pairs = list(zip(genes, config.task, tasks, strict=True))
    local = sum(task.local_usd_month for gene, _, task in pairs if not gene.ratio_index)
    network = sum(task.offload_usd_month for gene, _, task in pairs if gene.ratio_index)
    if strategy is Published.PUBLIC:
        return local, network, 0.0, 0.0
    servers = SERVERS_PRIVATE if strategy is Published.PRIVATE else 1
    used_mb = sum(row.memory_kb / 1000 for gene, row, _ in pairs if not gene.ratio_index)
    unused_mb = max(MEMORY_MB * servers - used_mb, 0.0)
    kept = MEMORY_IDLE_W_PER_MB * unused_mb * USD_MONTH_PER_W
    baseline = BASELINE_W * USD_MONTH_PER_W * servers
    return local + kept, network, baseline, HARDWARE_USD_MONTH * servers


def _lateness(genes: Sequence[Gene], tasks: Sequence[TaskCost]) -> float:
    pairs = zip(genes, tasks, strict=True)
    return sum(max(task.deadline_ratio - 1, 0.0) for gene, task in pairs if gene.ratio_index)


def _memory_fits(config: ReferenceConfig, genes: Sequence[Gene]) -> bool:
    """Return whether no memory is overfull, were tasks at home as far as their ratio says (8)."""
    used_kb: dict[int, float] = defaultdict(float)
    for gene, task in zip(genes, config.task, strict=True):
        used_kb[gene.memory_index] += task.memory_kb * (
            1 - config.offloadingratio[gene.ratio_index].share
        )
    return all(kb <= config.mem[index].capacity_kb for index, kb in used_kb.items())


def _divided(numerator: float, denominator: float) -> float:
    """Return a quotient as the published planner's machine does: by zero infinite, or no number."""
    if denominator:
        return numerator / denominator
    return inf if numerator else nan


@dataclass(frozen=True, slots=True)
class _Setting:
    """One task at one gene, and whether times and powers are those of offloading (1) or not (0)."""

    config: ReferenceConfig
    index: int
    gene: Gene
    share: float

    def cost(self) -> TaskCost:
        """Return everything the published planner computes for it."""
        task, share, period_ms = self._task, self.share, self._task.period_ms
        busy = task.wcet_ms * self._slowness * self._waiting / period_ms
        held_ms = self._interception_ms
        transfer_ms = self._transfer_ms
        remote_ms = task.wcet_ms / self.config.cloud[self.gene.server_index].speed
        due_ms = remote_ms + self._slowness * held_ms + transfer_ms
        return TaskCost(
            utilisation=busy * (1 - share) + self._slowness * held_ms / period_ms * share,
            cpu_w=self._running_w() * (busy * (1 - share) + held_ms / period_ms * share),
            memory_w=0.0 if share else self._memory_w(busy),
            network_w=LINK_POWER_W * (transfer_ms + held_ms) / period_ms * share,
            deadline_ratio=share * due_ms / period_ms,
            local_usd_month=self._local_usd_month(),
            offload_usd_month=self._offload_usd_month(),
        )

    @property
    def _task(self) -> ReferenceTask:
        return self.config.task[self.index]

    @property
    def _slowness(self) -> float:
        return 1 / self.config.cpufreq[self.gene.frequency_index].scale

    @property
    def _waiting(self) -> float:
        return 1 / self.config.mem[self.gene.memory_index].scale

    @property
    def _interception_ms(self) -> float:
        row = self.config.netcommander[self.index]
        return row.out_ms + row.in_ms

    @property
    def _transfer_ms(self) -> float:
        """Return kilobytes over megabits a second, called milliseconds (7)."""
        link, task = self.config.network[self.index], self._task
        up = (task.code_kb + task.input_kb) / link.uplink_mbit
        return up + task.output_kb / link.downlink_mbit

    def _running_w(self) -> float:
        level = self.config.cpufreq[self.gene.frequency_index]
        watts = level.active_w * self._slowness + level.idle_w * self._waiting
        return watts / (self._slowness + self._waiting)

    def _memory_w(self, busy: float) -> float:
        """Return the power of memory: KB times a power per MB (6)."""
        memory, ratio = self.config.mem[self.gene.memory_index], self._task.active_ratio
        used_w = ratio * memory.active_w_per_kb + (1 - ratio) * memory.idle_w_per_kb
        return self._task.memory_kb * (used_w * busy + memory.idle_w_per_kb * (1 - busy))

    def _local_usd_month(self) -> float:
        """Return the cost at home: whole seconds and megabytes, slowest level first (1 to 4)."""
        index, task = self.gene.frequency_index, self._task
        switching_w = SWITCHED_FARAD * VOLT[index] ** 2 * HERTZ[index]
        seconds = (task.wcet_ms // 1000) * SLOWNESS[index]
        cpu_w = _divided(switching_w * seconds, task.period_ms // 1000)
        used_w = task.active_ratio * MEMORY_ACTIVE_W_PER_MB + MEMORY_IDLE_W_PER_MB
        return (cpu_w + (task.memory_kb // 1000) * used_w) * USD_MONTH_PER_W

    def _offload_usd_month(self) -> float:
        """Return the cost of sending, over links that no config changes (7)."""
        seconds = self._task.input_kb * BITS_PER_KB / UPLINK_BIT_S
        seconds += self._task.output_kb * BITS_PER_KB / DOWNLINK_BIT_S
        return _divided(LINK_COST_W * seconds, self._task.period_ms // 1000) * USD_MONTH_PER_W


def _require_rows(config: ReferenceConfig, genes: Sequence[Gene]) -> None:
    """Refuse what the published planner would read behind the end of its arrays for."""
    counts = {"genes": len(genes), "network": len(config.network)}
    counts["netcommander"] = len(config.netcommander)
    for name, count in counts.items():
        if count < len(config.task) or (name == "genes" and count > len(config.task)):
            sentence = f"There are {len(config.task)} tasks, but {count} rows of {name}."
            raise UsageError("plan.reference.rows", sentence)
    if not config.genetic:
        raise UsageError("plan.reference.rows", "The config has no *genetic section.")
    for number, gene in enumerate(genes, start=1):
        limits = (
            ("memory", gene.memory_index, len(config.mem)),
            ("frequency", gene.frequency_index, min(len(config.cpufreq), len(VOLT))),
            ("server", gene.server_index, len(config.cloud)),
            ("ratio", gene.ratio_index, len(config.offloadingratio)),
        )
        for name, index, count in limits:
            if not 0 <= index < count:
                sentence = f"Gene {number} has {name} {index}; the config has {count}, from 0."
                raise UsageError("plan.reference.index", sentence)
