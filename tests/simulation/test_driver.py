"""The product's driver under a virtual clock: slow disks, bursts, crashes, and timers all along."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Literal, cast

import pytest

from mutualedge.app.driver import BATCH_MAX, EVENTS_MAX
from mutualedge.model import NS_PER_MS, NS_PER_S
from mutualedge.protocol import Effects, Event, TimerFired
from tests.simulation.desk import KEPT, TICK_NS, Desk
from tests.simulation.driven import DrivenProcess
from tests.simulation.processes import Boot
from tests.simulation.scenarios import shortcomings, simulate
from tests.simulation.schedule import START_NS, Schedule
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import Plan

SEEDS = 10
DRIVEN_CHANGES: tuple[Literal["join", "leave"] | None, ...] = (None, None, "join", "leave")
DESKS = 3
SLOW_NS = 40 * NS_PER_MS


@contextmanager
def open_desks(seed: int) -> Iterator[tuple[Schedule, list[Desk]]]:
    schedule = Schedule(seed)
    with closing(VirtualLoop(schedule)) as loop:
        loop.executor_ns = lambda: schedule.random.randint(0, NS_PER_MS)
        desks = [Desk(schedule, loop) for _ in range(DESKS)]
        yield schedule, desks
        for desk in desks:
            desk.close()


def run_for(schedule: Schedule, duration_ns: int) -> None:
    schedule.run_until(schedule.now_ns + duration_ns)


def assert_all_done(desk: Desk) -> None:
    """Assert that every event was handled, kept, and answered where an answer was wanted."""
    assert not desk.running.done(), desk.running.exception()
    assert desk.asked == desk.answered + desk.refused
    assert desk.orders == desk.order_answers
    assert not desk.clerk.unsettled, "a request of ours has neither reply nor refusal"
    kept = len(list(desk.store.scan(KEPT)))
    assert desk.clerk.handled - kept <= 1, "only the last tick may be on its way to the disk"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_and_no_timer_starves(seed: int) -> None:
    """Bursts, closed loops of impatient customers, disks that turn slow: all is done in order."""
    with open_desks(seed) as (schedule, desks):
        for _ in range(15):
            desk = schedule.random.choice(desks)
            desk.disk_ns_max = schedule.random.choice((100_000, 100_000, SLOW_NS))
            desk.ask(schedule.random.randint(1, 2 * BATCH_MAX), again=schedule.random.randint(0, 4))
            run_for(schedule, schedule.random.randint(0, 50) * NS_PER_MS)
        run_for(schedule, 20 * NS_PER_S)
        for desk in desks:
            assert_all_done(desk)
            assert desk.batches < desk.clerk.handled, "what arrives together is committed together"
            elapsed_ns = schedule.now_ns - START_NS
            assert desk.clerk.ticks > elapsed_ns // (TICK_NS + DESKS * 3 * SLOW_NS)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_crash_at_any_moment_loses_nothing_that_was_said(seed: int) -> None:
    """Notes, orders and answers of each life stand on rows that were durable before."""
    with open_desks(seed) as (schedule, desks):
        for _ in range(30):
            desk = schedule.random.choice(desks)
            desk.disk_ns_max = schedule.random.choice((100_000, SLOW_NS))
            desk.ask(schedule.random.randint(1, BATCH_MAX))
            run_for(schedule, schedule.random.randint(0, 5) * NS_PER_MS)
            if schedule.random.random() < 0.3:
                desk.crash()
        run_for(schedule, 20 * NS_PER_S)
        for desk in desks:
            assert_all_done(desk)


def test_above_its_bound_a_driver_refuses() -> None:
    """The rest of a burst is told to come back; those inside get their answers."""
    with open_desks(1) as (schedule, (desk, *_)):
        desk.ask(EVENTS_MAX + 100)
        run_for(schedule, 10 * NS_PER_S)
        assert desk.refused == 100
        assert desk.answered == EVENTS_MAX
        assert desk.largest == BATCH_MAX
        assert_all_done(desk)


@pytest.mark.parametrize(("seed", "change"), tuple(enumerate(DRIVEN_CHANGES)))
def test_a_consortium_of_real_drivers_keeps_its_word(
    seed: int, change: Literal["join", "leave"] | None
) -> None:
    """The day of the other simulation, with the product's driver between core and world."""
    result = simulate(Plan(seed=seed, is_driven=True, change=change))
    assert not shortcomings(result), f"seed {seed}: {shortcomings(result)}"


def test_real_drivers_repeat_themselves() -> None:
    """Same seed, same trace: no thread, no clock of the machine, no order of tasks by chance."""
    plan = Plan(seed=3, hours=6, is_driven=True)
    assert simulate(plan).trace == simulate(plan).trace


class Broken:
    """A core with a bug: an event that it cannot handle."""

    wake_ns: int | None = None

    def validate(self) -> None: ...

    def snapshot(self) -> None: ...

    def handle(self, event: Event, now_ns: int) -> Effects:
        message = f"nobody thought of {type(event).__name__} at {now_ns}"
        raise LookupError(message)


def test_a_bug_in_a_core_ends_the_run() -> None:
    """Its task has nobody who awaits it; the run fails all the same, and at once."""
    schedule = Schedule(1)
    with closing(VirtualLoop(schedule)) as loop:
        boot = cast("Boot", lambda _store, _now_ns: Broken())
        process = DrivenProcess("x", schedule, boot, lambda *_: None, crash_rate=0, loop=loop)
        process.start()
        with pytest.raises(ExceptionGroup) as failed:
            process.handle(TimerFired())
        assert failed.group_contains(LookupError)
