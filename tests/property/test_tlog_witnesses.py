"""The one promise of a witness: whatever it is asked, it never cosigns two histories of a log."""

from functools import cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mutualedge.tlog import (
    Witness,
    WitnessConfirmed,
    WitnessConflict,
    WitnessRefused,
    add_checkpoint_body,
    root_at,
    verify_fork,
)
from tests.property.tlog_logs import LOG_SIGNER, ORIGIN, MemoryLog, witness_signer

SIZE_MAX = 40
FORK_NAMES = (b"entry 0", b"another", b"a third")

sizes = st.integers(0, SIZE_MAX)


@cache
def fork(number: int) -> MemoryLog:
    """Return one of three histories that the same key signs and that differ from entry 0 on."""
    return MemoryLog(SIZE_MAX, first_entry=FORK_NAMES[number])


class LyingLog(RuleBasedStateMachine):
    """A log that offers checkpoints of three histories, with proofs from any of them."""

    def __init__(self) -> None:
        super().__init__()
        self.witness = Witness(witness_signer(0), {ORIGIN: [LOG_SIGNER.verifier]})
        self.cosigned: list[tuple[int, bytes]] = []

    @rule(history=st.integers(0, 2), proof_of=st.integers(0, 2), old=sizes, new=sizes)
    def offer(self, history: int, proof_of: int, old: int, new: int) -> None:
        proof = fork(proof_of).consistency(old, new) if old <= new else ()
        self.ask(fork(history), old, new, proof)

    @rule(history=st.integers(0, 2), new=sizes)
    def offer_from_the_known_size(self, history: int, new: int) -> None:
        old = self.cosigned[-1][0] if self.cosigned else 0
        if old <= new:
            self.ask(fork(history), old, new, fork(history).consistency(old, new))

    @rule()
    def crash(self) -> None:
        logs = {ORIGIN: [LOG_SIGNER.verifier]}
        self.witness = Witness.restore(witness_signer(0), logs, self.witness.snapshot())

    def ask(self, log: MemoryLog, old: int, new: int, proof: tuple[bytes, ...]) -> None:
        answer = self.witness.add_checkpoint(add_checkpoint_body(old, proof, log.note(new)), 7)
        match answer:
            case WitnessConfirmed():
                self.cosigned.append((new, root_at(new, log.reader)))
            case WitnessConflict() | WitnessRefused():
                if answer.evidence and answer.evidence.conclusive:
                    evidence = answer.evidence
                    verify_fork(evidence.accepted, evidence.offered, LOG_SIGNER.verifier)

    @invariant()
    def one_history_only(self) -> None:
        self.witness.validate()
        sizes_cosigned = [size for size, _ in self.cosigned]
        assert sizes_cosigned == sorted(sizes_cosigned)
        grown = [each for each in self.cosigned if each[0]]
        assert any(
            all(root == root_at(size, fork(number).reader) for size, root in grown)
            for number in range(3)
        )


LyingLog.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLyingLog = LyingLog.TestCase
