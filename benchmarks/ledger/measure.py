"""Execute blocks full of commands as the writer, and again as a member, in processor time."""

from collections.abc import Callable
from time import thread_time_ns

from benchmarks.lines import Metric, rated
from mutualedge.ledger import Ledger, SetLimit
from mutualedge.model import NS_PER_MS, Microcredits
from mutualedge.signing import Envelope
from tests.unit.ledger_world import (
    ACME,
    BOLT,
    START_NS,
    WRITER,
    World,
    agreement,
    consortium,
    opening,
)

BLOCKS = 30
COMMANDS = 32
"""In one block: what a busy consortium sends while the hub gathers one."""

LIMIT_MICROCREDITS = 1_000_000_000
UNIT = "commands/s"
CHECKED = "signature and form of one command checked"

MakeCommand = Callable[[World, int], Envelope]


def run() -> list[Metric]:
    """Return rates for the cheapest command and for the one that opens a lease."""
    return [*_rates("credit limit", _set_limit), *_rates("lease opened", _open_lease)]


def _set_limit(world: World, number: int) -> Envelope:
    limit = Microcredits(LIMIT_MICROCREDITS + number)
    return world.command(BOLT, SetLimit(debtor=ACME, limit_microcredits=limit))


def _open_lease(world: World, number: int) -> Envelope:
    """Return the opening of a lease with two more signatures inside."""
    return world.command(ACME, opening(agreement(nonce=number)))


def _rates(kind: str, make: MakeCommand) -> list[Metric]:
    world, follower = World(), Ledger(consortium(), ())
    world.limit(BOLT, ACME, LIMIT_MICROCREDITS)
    follower.apply(world.blocks[0], START_NS)
    ordering: list[int] = []
    following: list[int] = []
    checking: list[int] = []
    for number in range(BLOCKS):
        commands = [make(world, number * COMMANDS + each) for each in range(COMMANDS)]
        now_ns = START_NS + number * NS_PER_MS
        begun_ns = thread_time_ns()
        for command in commands:
            world.ledger.verify_command(command)
        checked_ns = thread_time_ns()
        execution = world.ledger.execute(commands, now_ns, WRITER)
        ordered_ns = thread_time_ns()
        follower.apply(execution.block, now_ns)
        followed_ns = thread_time_ns()
        assert all(outcome.is_done for outcome in execution.outcomes), execution.outcomes
        checking.append((checked_ns - begun_ns) // COMMANDS)
        ordering.append((ordered_ns - checked_ns) // COMMANDS)
        following.append((followed_ns - ordered_ns) // COMMANDS)
    assert follower.state_digest == world.ledger.state_digest
    floor = (CHECKED, checking)
    return [
        rated(f"{kind}: ordered, one core", ordering, unit=UNIT, baseline=floor),
        rated(f"{kind}: followed, one core", following, unit=UNIT, baseline=floor),
    ]
