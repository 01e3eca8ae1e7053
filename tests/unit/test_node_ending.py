"""A node that is told to end: its runner signs what it metered, and nothing new begins."""

from mutualedge.protocol import ReadingScored, ToldToEnd
from tests.unit.node_world import FORGE, code_of, node_settings, open_world
from tests.unit.test_node_trust import batched


def test_what_was_metered_is_signed_before_the_end() -> None:
    """The meter key ends with the process; a lease would be underpaid by what it had not signed."""
    world = open_world()
    assert isinstance(world.read(1), ReadingScored)
    assert batched(world.forge) == 0
    world.forge.handle(ToldToEnd())
    world.run(100)
    assert batched(world.forge) == 1
    assert world.forge.restarts[0] == "told to end"


def test_who_ends_takes_nothing_new() -> None:
    """Work that arrived meanwhile would only keep its runner from signing what it did before."""
    world = open_world()
    world.forge.is_stubborn = True
    world.forge.handle(ToldToEnd())
    assert code_of(world.read(1)) == "node.ending"
    assert batched(world.forge) == 0


def test_a_runner_that_hangs_holds_nobody_up() -> None:
    """After one timeout the node says that it may end, with what it has."""
    world = open_world()
    assert isinstance(world.read(1), ReadingScored)
    world.forge.runner = None
    world.forge.handle(ToldToEnd())
    assert not world.forge.restarts
    world.run(node_settings(FORGE).request_timeout_ms + 10)
    assert world.forge.restarts[0] == "told to end"
