"""The hub when the trust file changes: it starts again, and counts each block's own members."""

import pytest

from mutualedge.consortium import Hub
from mutualedge.consortium.enrolment import Enrolment
from mutualedge.consortium.hub import RENEWED_EVERY_NS
from mutualedge.ledger import AdoptTrust
from mutualedge.model import NS_PER_S, EnterpriseId, format_instant
from mutualedge.protocol import (
    Accepted,
    AddCheckpoint,
    Answer,
    AskLedger,
    Blocks,
    CheckpointCosigned,
    CommandsOrdered,
    Credentials,
    ListOrder,
    Note,
    Renew,
    Renewed,
    RenewOrder,
    Restart,
    SubmitCommands,
    SubmitCountersignatures,
    TimerFired,
)
from mutualedge.signing import Envelope, sign_record
from mutualedge.tlog import Checkpoint, NoteSigner, add_checkpoint_body, sign_checkpoint
from tests.simulation.founding import keys_of, successor
from tests.unit.node_world import CANDY, FORGE, founded
from tests.unit.test_hub_orders import Bench, command, countersignature

MILL = "mill"


def adoption(*names: str) -> Envelope:
    trust = successor(founded().consortium, *names)
    return command(900, action=AdoptTrust(trust=trust))


def changed(*names: str) -> Bench:
    """Return a hub with one block before the change, the change, and one block after it."""
    bench = Bench()
    bench.fill(1)
    bench.answer_to(SubmitCommands(commands=(adoption(*names),)))
    bench.restart()
    bench.answer_to(SubmitCommands(commands=(command(901, keys_of(CANDY).settlement),)))
    return bench


def log_of(name: str) -> str:
    signer = NoteSigner(name=f"simulated.mutualedge/{name}/log", key=keys_of(name).log)
    checkpoint = Checkpoint(origin=signer.name, size=1, root=bytes(32))
    return add_checkpoint_body(0, (), sign_checkpoint(checkpoint, signer))


def test_the_hub_answers_and_starts_again() -> None:
    """Who commanded the change hears of its block first; the restart comes last."""
    bench = Bench()
    reply = bench.answer_to(SubmitCommands(commands=(adoption(CANDY, FORGE, MILL),)))
    assert reply == CommandsOrdered(height=1)
    kinds = [type(output) for output in bench.effects.outputs]
    assert kinds[-1] is Restart
    assert kinds.index(Answer) < kinds.index(Restart)
    notes = [each.name for each in bench.effects.outputs if isinstance(each, Note)]
    assert notes == ["block.sealed", "trust.adopted"]


def test_a_refused_change_restarts_nothing() -> None:
    """The block says why, and the hub goes on."""
    bench = Bench()
    bench.answer_to(SubmitCommands(commands=(adoption(MILL),)))
    assert not any(isinstance(output, Restart) for output in bench.effects.outputs)


def test_a_restarted_hub_does_not_restart_again() -> None:
    """It holds the version that its rows say."""
    bench = changed(CANDY, FORGE, MILL)
    assert not any(isinstance(output, Restart) for output in bench.effects.outputs)
    assert bench.hub.ledger.consortium.trust.version == 2


@pytest.mark.parametrize(
    ("height", "name", "code"),
    [
        (1, FORGE, ""),
        (2, FORGE, ""),
        (3, FORGE, "hub.countersignature.unsigned"),
        (1, MILL, "hub.countersignature.unsigned"),
        (2, MILL, "hub.countersignature.unsigned"),
        (3, MILL, ""),
    ],
)
def test_each_block_is_countersigned_by_its_own_members(height: int, name: str, code: str) -> None:
    """Forge leaves and mill comes with block 2, which is still forge's."""
    bench = changed(CANDY, MILL)
    signed = bench.blocks(height).blocks[0]
    word = countersignature(signed, keys_of(name).settlement)
    assert bench.code(SubmitCountersignatures(countersignatures=(word,))) == code
    kept = bench.blocks(height).blocks[0].countersignatures
    assert (word in kept) == (not code)
    assert code or bench.answer_to(SubmitCountersignatures(countersignatures=(word,))) == Accepted()


class OfficeBench(Bench):
    """A hub whose members renew; its office takes every leave and issues nothing of value."""

    def restart(self) -> None:
        nothing = Credentials(certificate_pem="", platform=b"", collateral=b"")
        self.hub = Hub(
            consortium=founded().consortium,
            writer=founded().writer,
            witness=founded().witness,
            store=self.store,
            enrolment=Enrolment(
                issue=lambda *_: nothing,
                verify_door=lambda *_: None,
                release="1",
                founding=founded().consortium.envelope,
                store=self.store,
            ),
        )

    def restarts_after(self, member: str, *doors: str) -> bool:
        """Tell whether the hub starts again when a member renews its leaves for these."""
        order = RenewOrder(
            enterprise=EnterpriseId(member),
            measurement=founded().consortium.trust.runner_measurements[0],
            tls_public_key_pem="",
            activations={EnterpriseId(name): "leave" for name in doors},
            at=format_instant(self.now_ns),
        )
        signed = sign_record(order, keys_of(member).settlement)
        assert isinstance(self.answer_to(Renew(order=signed)), Renewed)
        return self.starts_again()

    def starts_again(self) -> bool:
        return any(isinstance(output, Restart) for output in self.effects.outputs)


def test_no_member_keeps_the_hub_starting() -> None:
    """Renewals open doors at once, then only every ten minutes, however often somebody renews."""
    bench = OfficeBench()
    bench.restart()
    bench.handle(TimerFired())
    begun_ns = bench.now_ns
    for _ in range(3):
        assert not bench.restarts_after(CANDY, FORGE)
        bench.now_ns += NS_PER_S
    assert bench.hub.wake_ns == begun_ns + RENEWED_EVERY_NS
    bench.now_ns = begun_ns + RENEWED_EVERY_NS
    bench.handle(TimerFired())
    assert bench.starts_again()
    assert bench.hub.ledger.height == 0
    bench.restart()
    bench.handle(TimerFired())
    bench.now_ns += 2 * RENEWED_EVERY_NS
    assert not bench.restarts_after(FORGE), "it opened no door"
    assert bench.restarts_after(FORGE, CANDY)


@pytest.mark.parametrize(("name", "last"), [(CANDY, 3), (FORGE, 2), (MILL, 3)])
def test_who_left_reads_up_to_the_block_that_let_it_go(name: str, last: int) -> None:
    """Forge left with block 2, in which mill came: later blocks are none of its business."""
    bench = OfficeBench()
    bench.store = changed(CANDY, MILL).store
    bench.restart()
    order = ListOrder(enterprise=EnterpriseId(name), at=format_instant(bench.now_ns))
    signed = sign_record(order, keys_of(name).settlement)
    reply = bench.answer_to(AskLedger(order=signed, from_height=1))
    assert isinstance(reply, Blocks)
    assert (len(reply.blocks), reply.height) == (last, last)


def test_the_hub_witnesses_who_came_and_who_left() -> None:
    """A newcomer's log from the change on; the last entries of one who left as well."""
    before = Bench()
    assert before.code(AddCheckpoint(body=log_of(MILL))) == "tlog.witness.unknown-log"
    bench = changed(CANDY, MILL)
    for name in (CANDY, FORGE, MILL):
        assert isinstance(bench.answer_to(AddCheckpoint(body=log_of(name))), CheckpointCosigned)


def test_who_left_commands_nothing() -> None:
    """Its command is refused before it waits for a block."""
    bench = changed(CANDY, MILL)
    late = command(902, keys_of(FORGE).settlement, enterprise=FORGE)
    assert bench.code(SubmitCommands(commands=(late,))) == "identity.member.unknown"
