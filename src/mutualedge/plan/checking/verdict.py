"""Every rule that a plan has to keep, one after the other."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from mutualedge.plan.checking.burdens import (
    Burden,
    Seat,
    at_gateway,
    at_partner,
    find_place,
    find_seat,
    stay,
    travel,
)
from mutualedge.plan.checking.demand import overload
from mutualedge.plan.checking.money import Ledger, differences
from mutualedge.plan.plans import Chosen, Plan, Reason
from mutualedge.plan.scenario import Cloud, Enterprise, Node, Scenario, Task
from mutualedge.plan.strategies import restrict

CAPACITY_TOLERANCE = 1e-9


def check(scenario: Scenario, plan: Plan) -> tuple[Reason, ...]:
    """Return what is wrong with a plan for this scenario: nothing, if the planner is right."""
    return tuple(_Check(scenario, plan).violations())


def check_period(slots: Sequence[Scenario], plans: Sequence[Plan]) -> tuple[Reason, ...]:
    """Return what is wrong with plans for slots of equal length that share one settlement.

    Args:
        slots: The same enterprises under other loads; their limit of imbalance is on the mean.
        plans: Of each.
    """
    checks = [
        _Check(_unlimited(scenario), plan) for scenario, plan in zip(slots, plans, strict=True)
    ]
    wrong = [reason for each in checks for reason in each.violations()]
    limit = slots[0].tariff.imbalance_max_microcredits
    for name in (each.name for each in slots[0].enterprises):
        earned = math.fsum(each.mileage[name] for each in checks) / len(checks)
        if limit is not None and abs(earned) > limit:
            sentence = f"{name} is {earned:.9g} microcredits out of balance; {limit} are allowed."
            wrong.append(Reason(code="plan.check.balance", sentence=sentence))
    return tuple(wrong)


def _unlimited(scenario: Scenario) -> Scenario:
    tariff = msgspec.structs.replace(scenario.tariff, imbalance_max_microcredits=None)
    return msgspec.structs.replace(scenario, tariff=tariff)


class _Check:
    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        self._scenario = scenario = restrict(scenario, plan.strategy)
        self._plan = plan
        self._burdens = {node.name: Burden() for _, node in scenario.nodes}
        self._ledger = Ledger(scenario)

    @property
    def mileage(self) -> dict[str, float]:
        """What each enterprise earns, once the violations were yielded."""
        return self._ledger.mileage

    def violations(self) -> Iterator[Reason]:
        """Yield what does not hold."""
        tasks = {
            (home.name, task.name): (home, task)
            for home in self._scenario.enterprises
            for task in home.tasks
        }
        yield from self._unplanned(Counter(tasks.keys()))
        for chosen in self._plan.choices:
            if (asked := tasks.get((chosen.enterprise, chosen.task))) is not None:
                yield from self._misplaced(*asked, chosen)
        for _, node in self._scenario.nodes:
            yield from _overloaded(node, self._burdens[node.name])
        for sentence in differences(self._ledger, self._plan):
            yield Reason(code="plan.check.money", sentence=sentence)

    def _unplanned(self, asked: Counter[tuple[str, str]]) -> Iterator[Reason]:
        planned = Counter((each.enterprise, each.task) for each in self._plan.choices)
        for enterprise, task in (asked - planned) + (planned - asked):
            sentence = f"{enterprise}/{task} is not planned exactly once, or not asked for."
            yield Reason(code="plan.check.tasks", sentence=sentence)

    def _misplaced(self, home: Enterprise, task: Task, chosen: Chosen) -> Iterator[Reason]:
        """Burden the place with the task; yield what forbids it."""
        subject = f"{home.name}/{task.name}"
        found = find_place(self._scenario, chosen.place)
        if found is None:
            yield _about("plan.check.place", subject, f"there is no place {chosen.place}")
            return
        owner, place = found
        if owner is not home and not _may_leave(task, place):
            yield _about("plan.check.confidential", subject, f"must not go to {chosen.place}")
        match place:
            case Cloud():
                yield from self._rent(home, task, place, subject)
            case Node() if owner is not None:
                yield from self._run(home, task, owner, place, chosen)

    def _rent(self, home: Enterprise, task: Task, cloud: Cloud, subject: str) -> Iterator[Reason]:
        latency_ms = home.link.latency_ms + cloud.latency_ms
        journey = travel(home, task, latency_ms, cloud.speed)
        if journey.slack_us < 0:
            yield _about("plan.check.deadline", subject, f"{-journey.slack_us} us too late")
        elif home.nodes:
            streams = at_gateway(journey, is_lent=False)
            self._burdens[home.nodes[0].name].streams.extend(streams)
        self._ledger.rent(home, cloud, journey)

    def _run(
        self, home: Enterprise, task: Task, owner: Enterprise, node: Node, chosen: Chosen
    ) -> Iterator[Reason]:
        subject = f"{home.name}/{task.name}"
        if owner is not home and not self._plan.strategy.lends:
            yield _about("plan.check.strategy", subject, f"{node.name} is not its enterprise's")
        seat = find_seat(owner, node, chosen)
        if seat is None:
            yield _about("plan.check.place", subject, f"{node.name} has no such level or memory")
            return
        burden = self._burdens[node.name]
        burden.memory_mb[seat.memory.name].append(task.memory_mb)
        if owner is home:
            burden.streams.append(stay(task, seat.speed))
            self._ledger.stay(task, seat)
        else:
            yield from self._lend(home, task, seat, subject)

    def _lend(self, home: Enterprise, task: Task, seat: Seat, subject: str) -> Iterator[Reason]:
        latency_ms = home.link.latency_ms + seat.owner.link.latency_ms
        journey = travel(home, task, latency_ms, seat.speed)
        if journey.slack_us < 0:
            yield _about("plan.check.deadline", subject, f"{-journey.slack_us} us too late")
            return
        if home.nodes:
            streams = at_gateway(journey, is_lent=True)
            self._burdens[home.nodes[0].name].streams.extend(streams)
        self._burdens[seat.node.name].streams.append(at_partner(journey))
        self._ledger.lend(home, seat, journey)


def _may_leave(task: Task, place: Node | Cloud) -> bool:
    return task.offloadable and place.assurance.reaches(task.assurance)


def _overloaded(node: Node, burden: Burden) -> Iterator[Reason]:
    if (words := overload(burden.streams)) is not None:
        yield Reason(code="plan.check.processor", sentence=f"{node.name}: {words}.")
    for memory in node.memories:
        used_mb = math.fsum(burden.memory_mb[memory.name])
        if used_mb > memory.capacity_mb * (1 + CAPACITY_TOLERANCE):
            sentence = f"{node.name}: {used_mb:g} MB in {memory.capacity_mb:g} MB of {memory.name}."
            yield Reason(code="plan.check.memory", sentence=sentence)


def _about(code: str, subject: str, words: str) -> Reason:
    return Reason(code=code, sentence=f"{subject}: {words}.", tasks=(subject,))
