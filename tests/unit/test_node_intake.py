"""Readings of devices: scored here, at a partner, or refused; each question answered once."""

from dataclasses import replace

import msgspec
import pytest

from mutualedge.functions import Execution, VerifiedBundle, anomaly, meaning_of
from mutualedge.model import NS_PER_MS, DeviceId
from mutualedge.node.intake import DEVICES_MAX, DeviceRow
from mutualedge.protocol import (
    AskOffer,
    Call,
    CallDone,
    ExecuteLocal,
    Reading,
    ReadingScored,
    Refused,
)
from tests.unit.node_world import (
    CANDY,
    FORGE,
    PERIOD_MS,
    REMAINING_MS,
    Side,
    World,
    code_of,
    invocation_of,
    joined_world,
    new_runner,
    open_world,
    reading_of,
)

LOCAL_JOBS = REMAINING_MS // 5
"""Jobs of 5 ms that fit before the deadline, one after the other."""


def own_world(timing: str = "prioritised") -> World:
    """Return a world where candy has a runner of its own and no lease."""
    world = joined_world()
    world.holding = (AskOffer,)
    world.candy.start_runner(timing=timing)
    world.settle()
    return world


def full_world() -> World:
    """Return a world with a lease, where candy's own runner has no room left for now."""
    world = open_world()
    world.candy.start_runner()
    world.settle()
    world.candy.runner = None
    for number in range(LOCAL_JOBS):
        world.candy.ask(reading_of(1000 + number, f"own{number}"))
    assert jobs(world.candy) == 1
    return world


def jobs(side: Side) -> int:
    return sum(isinstance(order, ExecuteLocal) for order in side.orders)


def test_a_reading_is_scored_here() -> None:
    """With room on the own processor nothing leaves, and the result says so."""
    world = own_world()
    reply = world.read(1)
    assert isinstance(reply, ReadingScored)
    assert (reply.placed, reply.assurance, reply.timing) == (CANDY, "own", "prioritised")
    assert len(reply.scores) == len(reply.flags) == 2
    assert world.candy.node.snapshot().readings.local == 1


def test_node_idempotency_a_duplicate_reading_gets_the_same_answer() -> None:
    """The same invocation twice is one question: one execution, one state change, one answer."""
    world = own_world()
    first = world.read(1)
    state = world.candy.store.get("device", "press")
    again = world.candy.answer_to(reading_of(1))
    assert again == first
    assert world.candy.effects.writes == []
    assert world.candy.store.get("device", "press") == state
    assert world.candy.node.snapshot().readings.local == 1


def test_a_duplicate_reading_in_flight_waits_for_the_first() -> None:
    """Both askers get the one answer."""
    world = own_world()
    ask_ids = [world.candy.ask(reading_of(1)) for _ in range(3)]
    assert jobs(world.candy) == 1
    world.settle()
    replies = [world.candy.replies[ask_id] for ask_id in ask_ids]
    assert isinstance(replies[0], ReadingScored)
    assert replies == [replies[0]] * 3


def test_a_duplicate_reading_after_a_restart_gets_the_same_answer() -> None:
    """The last result is a row, written before it was told."""
    world = own_world()
    first = world.read(1)
    world.candy.restart()
    assert world.candy.answer_to(reading_of(1)) == first


def test_the_detectors_state_survives_a_restart() -> None:
    """Scores after a crash continue from what the device's readings taught so far."""
    straight, crashed = own_world(), own_world()
    for world in (straight, crashed):
        for number in range(3):
            world.read(number)
    crashed.candy.restart()
    crashed.candy.start_runner()
    crashed.settle()
    last = [world.read(9) for world in (straight, crashed)]
    assert isinstance(last[0], ReadingScored)
    assert last[0] == last[1]
    rows = [world.candy.store.get("device", "press") for world in (straight, crashed)]
    assert rows[0] == rows[1]


def test_a_busy_device_is_told_to_wait() -> None:
    """Readings of one device are scored in order, one batch at a time."""
    world = own_world()
    first = world.candy.ask(reading_of(1))
    second = world.candy.ask(reading_of(2))
    other = world.candy.ask(reading_of(3, "lathe"))
    assert code_of(world.candy.replies[second]) == "node.device.busy"
    world.settle()
    assert isinstance(world.candy.replies[first], ReadingScored)
    assert isinstance(world.candy.replies[other], ReadingScored)
    assert isinstance(world.read(2), ReadingScored)


def test_the_number_of_devices_is_bounded() -> None:
    """The device after the last is refused while all are served; those known are served on."""
    world = own_world()
    assert isinstance(world.read(1, "d1"), ReadingScored)
    devices = world.candy.node._intake._devices
    (known,) = devices.values()
    for number in range(1, DEVICES_MAX):
        devices[DeviceId(f"busy-{number}")] = replace(known)
    refused = world.candy.ask(reading_of(9999, "one-more"))
    assert code_of(world.candy.replies[refused]) == "node.device.too-many"
    assert isinstance(world.read(10_000, "d1"), ReadingScored)


def test_names_that_never_got_a_result_make_room() -> None:
    """Whoever invents device names keeps nobody out."""
    world = own_world()
    for number in range(DEVICES_MAX + 1):
        world.candy.ask(reading_of(number, f"d{number}", remaining_ms=1))
    assert isinstance(world.read(10_000, "one-more"), ReadingScored)


def guaranteed(number: int, *, remaining_ms: int = REMAINING_MS) -> Reading:
    reading = reading_of(number, "safety", remaining_ms=remaining_ms)
    return Reading(
        device=reading.device,
        invocation=reading.invocation,
        readings=reading.readings,
        remaining_ns=reading.remaining_ns,
        guaranteed=True,
    )


def test_nothing_is_guaranteed_without_real_time_priority() -> None:
    """A best-effort runner does not promise, however empty it is."""
    world = own_world(timing="best-effort")
    assert code_of(world.candy.answer_to(guaranteed(1))) == "node.timing.best-effort"
    assert isinstance(world.read(2), ReadingScored)


def test_nothing_is_guaranteed_without_compensation() -> None:
    """What does not fit here is not promised on a partner's node that could die."""
    world = full_world()
    ask_id = world.candy.ask(guaranteed(1))
    assert code_of(world.candy.replies[ask_id]) == "admission.guarantee.no-compensation"
    assert world.candy.asked(Call) == []


def test_a_guaranteed_reading_that_fits_is_scored_here() -> None:
    """With priority and room it is promised and kept."""
    reply = own_world().candy.answer_to(guaranteed(1))
    assert isinstance(reply, ReadingScored)
    assert reply.placed == CANDY


def test_admission_a_full_processor_sends_the_next_reading_to_the_partner() -> None:
    """What would make an admitted job late is not run here; its result comes from the lease."""
    world = full_world()
    assert len(world.candy.asked(Call)) == 0
    ask_id = world.candy.ask(reading_of(1))
    world.settle()
    reply = world.candy.replies[ask_id]
    assert isinstance(reply, ReadingScored)
    assert reply.placed == FORGE
    assert world.candy.node.snapshot().readings.offloaded == 1


def test_admission_a_full_processor_without_a_lease_refuses() -> None:
    """Refused at once with both reasons, instead of accepted and late."""
    world = own_world()
    world.candy.runner = None
    for number in range(LOCAL_JOBS):
        world.candy.ask(reading_of(number, f"d{number}"))
    reply = world.candy.replies[world.candy.ask(reading_of(99))]
    assert isinstance(reply, Refused)
    assert reply.code == "market.lease.none"
    assert "No room here" in reply.sentence


def test_admission_no_admitted_reading_is_late() -> None:
    """However many arrive at once, those accepted are all in time at their worst case."""
    world = own_world()
    runner, world.candy.runner = world.candy.runner, None
    start_ns = world.now_ns
    ask_ids = [world.candy.ask(reading_of(number, f"d{number}")) for number in range(20)]
    accepted = [ask_id for ask_id in ask_ids if ask_id not in world.candy.replies]
    done = 0
    while world.candy.orders:
        world.run(5)
        world.candy.runner = runner
        order = world.candy.orders[0]
        assert isinstance(order, ExecuteLocal)
        world._step()
        world.candy.runner = None
        done += 1
    assert done == len(accepted) == LOCAL_JOBS
    assert world.now_ns - start_ns <= REMAINING_MS * NS_PER_MS
    assert world.candy.node.snapshot().readings.late == 0


def test_a_failing_partner_is_made_up_for_here() -> None:
    """While time remains, the reading is scored here after all."""
    world = full_world()
    world.holding = (Call,)
    ask_id = world.candy.ask(reading_of(1))
    world.settle()
    world.candy.lose_runner()
    world.candy.start_runner()
    world.settle()
    world.bend = lambda _: Refused(code="node.runner.absent", sentence="No.")
    world.deliver(*world.held.pop())
    world.settle()
    reply = world.candy.replies[ask_id]
    assert isinstance(reply, ReadingScored)
    assert reply.placed == CANDY


def test_a_failing_partner_without_time_left_is_told() -> None:
    """When neither time nor room remains the device learns what the partner said."""
    world = open_world()
    world.bend = lambda reply: (
        Refused(code="node.runner.absent", sentence="No.") if isinstance(reply, CallDone) else reply
    )
    assert code_of(world.read(1)) == "node.runner.absent"
    assert world.candy.node.snapshot().readings.failed == 1
    world.bend = lambda reply: reply
    world.run(PERIOD_MS)
    assert isinstance(world.read(2), ReadingScored)


class OddFunction:
    """An attested function that answers with bytes of its own choice."""

    def __init__(self, output: bytes) -> None:
        self._output = output

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        """Return an ending the engine calls good."""
        limit = len(request) if fuel_limit is None else min(len(request), fuel_limit)
        return Execution(
            status="ok", output=self._output, fuel=limit * 10**6, memory_bytes=0, cpu_ns=0
        )


class OddRuntime:
    """Loads ``OddFunction`` in place of whatever is asked for."""

    name = "odd/1"

    def __init__(self, output: bytes) -> None:
        self._output = output

    def load(self, bundle: VerifiedBundle) -> OddFunction:
        """Return the odd function, whatever the bundle."""
        assert bundle.digest
        return OddFunction(self._output)


SCORED = anomaly.respond(anomaly.encode_request(anomaly.INITIAL_STATE, (1.0, 2.0)))
assert SCORED is not None
ODD = {
    "noise": b"noise",
    "empty": b"",
    "other-count": anomaly.respond(anomaly.encode_request(anomaly.INITIAL_STATE, (1.0,))),
    "infinite": SCORED[:40] + b"\x00" * 6 + b"\xf0\x7f" + SCORED[48:],
}


@pytest.mark.parametrize("case", sorted(ODD))
def test_an_odd_response_of_a_partner_does_not_block_the_device(case: str) -> None:
    """The device is answered, and its next reading is taken as if nothing had happened."""
    output = ODD[case]
    assert output is not None
    world = open_world(runner=new_runner(FORGE, 9, runtime=OddRuntime(output)))
    assert code_of(world.read(1)) == "functions.response.malformed"
    world.candy.start_runner()
    world.settle()
    reply = world.read(2)
    assert isinstance(reply, ReadingScored)
    assert reply.placed == CANDY


def test_a_trapped_call_is_told_by_its_status() -> None:
    """The device learns how the function ended; the state stays as it was."""
    world = own_world()
    runner = world.candy.runner
    assert runner is not None
    ((digest, ready),) = runner._functions.items()
    runner._functions[digest] = type(ready)(function=ready.function, fuel_per_ms=1)
    assert code_of(world.read(1)) == "functions.trap.fuel"
    assert world.candy.store.get("device", "press") is None
    assert world.candy.node.snapshot().readings.failed == 1


def test_a_status_that_only_a_newer_runner_knows_has_a_code_of_its_own() -> None:
    """Whatever a partner's runner calls it, the device is told a code that it can look up."""
    told = meaning_of("trap.of-the-next-release")
    assert told.code == "functions.status.unknown"
    assert told.advice


def test_a_node_whose_runner_does_not_start_says_so_to_its_devices() -> None:
    """It answers at once, and names the runner beside the lease that is missing as well."""
    world = joined_world()
    world.holding = (AskOffer,)
    refused = world.read(1)
    assert isinstance(refused, Refused)
    assert "The runner does not run yet" in refused.sentence
    world.candy.start_runner()
    world.settle()
    assert isinstance(world.read(1), ReadingScored)


def test_a_lost_runner_fails_what_it_worked_on() -> None:
    """The device is told at once and may ask again."""
    world = own_world()
    ask_id = world.candy.ask(reading_of(1))
    world.candy.lose_runner()
    assert code_of(world.candy.replies[ask_id]) == "node.runner.lost"
    world.candy.start_runner()
    world.settle()
    assert isinstance(world.read(1), ReadingScored)


def test_a_result_from_a_partner_says_whose_it_is() -> None:
    """Placed and assured by the partner, with no timing claimed in its name."""
    world = open_world()
    reply = world.read(1)
    assert isinstance(reply, ReadingScored)
    assert (reply.placed, reply.assurance, reply.timing) == (FORGE, "simulated", "best-effort")
    assert reply.invocation == invocation_of(1)


def test_a_devices_state_is_the_same_wherever_it_is_scored() -> None:
    """Here or at a partner, each device's detector learns from its own readings only."""
    states = []
    for world in (own_world(), open_world()):
        for number, device in enumerate(("a", "b", "a", "a")):
            assert isinstance(world.read(number, device), ReadingScored)
        rows = dict(world.candy.store.scan("device"))
        states.append(
            {name: msgspec.msgpack.decode(row, type=DeviceRow).state for name, row in rows.items()}
        )
    assert states[0] == states[1]
    assert states[0]["a"] != states[0]["b"]
