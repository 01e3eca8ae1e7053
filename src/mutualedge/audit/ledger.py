"""Step 9, second half: the ledger replayed, command by command."""

from mutualedge.audit.blocks import BlockJudge, SignedBlock
from mutualedge.audit.books import Books, Refused
from mutualedge.audit.case import Case, SignedStatement
from mutualedge.audit.documents import DocumentDesk, position_of
from mutualedge.audit.envelopes import check_signed_by_all, parse_document, parse_payload
from mutualedge.audit.report import LEDGER_WRITER, UNKNOWN
from mutualedge.audit.terms import LeaseTerms
from mutualedge.errors import MutualEdgeError
from mutualedge.ledger import (
    Claim,
    Close,
    Command,
    OpenLease,
    Outcome,
    Settle,
)
from mutualedge.market import Commitment
from mutualedge.meter import RecordBatch, Statement, Voucher
from mutualedge.model import (
    Digest,
    EnterpriseId,
    HexLeaseId,
    LeaseId,
    Microcredits,
    parse_instant,
)
from mutualedge.signing import Envelope

_LEDGER = 9


class LedgerJudge:
    """Replays the ledger; what its commands carry is filed as evidence of the case."""

    def __init__(self, case: Case, desk: DocumentDesk, blocks: BlockJudge) -> None:
        """Take a case whose agreements are filed, and the chain to replay."""
        self._case = case
        self._desk = desk
        self._blocks = blocks
        self._books = Books(blocks.lineage.versions[0])
        self._answered: dict[tuple[EnterpriseId, str], tuple[Digest, Outcome]] = {}

    @property
    def settled_microcredits(self) -> int:
        """Posted over all leases, from requesters to providers."""
        return sum(each.posted_microcredits for each in self._books.leases.values())

    @property
    def sum_microcredits(self) -> int:
        """All balances added, those of members who left too."""
        members = self._case.consortium.everyone
        return sum(self._books.balance_microcredits(each.enterprise) for each in members)

    def judge(self) -> None:
        """Replay the chain."""
        for each in self._blocks.chain:
            self._replay(each)
            self._books.seal(each.digest)
        if self.sum_microcredits:
            sentence = f"All balances add up to {self.sum_microcredits} instead of zero."
            self._case.findings.add(
                "ledger.zero-sum", sentence, step=_LEDGER, subject="ledger", culprit=LEDGER_WRITER
            )

    def check_settlements(self) -> None:
        """Each statement of the case was settled, each lease opened here has its agreement."""
        if not self._blocks.given_count:
            sentence = "No ledger block is in the bundle; nothing shows that anything settled."
            self._case.findings.add("missing.block", sentence, step=_LEDGER, subject="block 1")
        for lease_id, statements in self._case.statements.items():
            if not self._is_settled(lease_id, statements[0]):
                sentence = "Both sides signed this statement; no block of the bundle settles it."
                self._case.findings.add(
                    "missing.settlement",
                    sentence,
                    step=_LEDGER,
                    line=statements[0].line,
                    subject=lease_id,
                )

    def _is_settled(self, lease_id: LeaseId, statement: SignedStatement) -> bool:
        """Tell whether just this sum moved, by the statement or by what closed the lease before it.

        A lease that never reached the ledger, or too late, owes nothing and moved nothing.
        """
        lease, total = self._books.leases.get(lease_id), statement.total_microcredits
        if lease is None:
            return not total
        is_closed = lease.held_microcredits is None and lease.posted_microcredits == total
        return is_closed or lease.statement == statement.digest

    # --- the commands of a block

    def _replay(self, signed: SignedBlock) -> None:
        block = signed.block
        try:
            now_ns = parse_instant(block.time)
        except MutualEdgeError as error:
            self._blame(signed, "ledger.time", error.sentence)
            return
        self._books.sweep(now_ns)
        if len(block.commands) != len(block.outcomes):
            sentence = f"{len(block.commands)} commands have {len(block.outcomes)} outcomes."
            self._blame(signed, "ledger.outcomes", sentence)
            return
        for number, (envelope, outcome) in enumerate(
            zip(block.commands, block.outcomes, strict=True), start=1
        ):
            self._replay_command(signed, number, envelope, outcome, now_ns)

    def _replay_command(
        self, signed: SignedBlock, number: int, envelope: Envelope, outcome: Outcome, now_ns: int
    ) -> None:
        command = self._verify_command(envelope)
        if isinstance(command, str):
            sentence = f"Command {number} is no member's: {command}"
            self._blame(signed, "ledger.command", sentence)
            return
        key = (command.enterprise, command.id)
        digest, before = self._answered.setdefault(key, (envelope.payload_digest, outcome))
        if before is not outcome:
            self._check_repeat(signed, number, digest == envelope.payload_digest, before, outcome)
            return
        if outcome.height != signed.block.height or outcome.id != command.id:
            sentence = f"The outcome of command {number} belongs to another command or block."
            self._blame(signed, "ledger.outcomes", sentence)
        try:
            self._books.run(command, now_ns)
        except Refused as refusal:
            if outcome.is_done:
                sentence = f"Command {number} was carried out, although {refusal.sentence}."
                self._blame(signed, f"ledger.{refusal.reason}", sentence)
            return
        if outcome.is_done:
            self._file(command, signed)
            return
        sentence = f"Command {number} was refused ({outcome.code}), although the rules allow it."
        self._blame(signed, "ledger.refused-wrongly", sentence)

    def _check_repeat(
        self, signed: SignedBlock, number: int, is_same: bool, before: Outcome, outcome: Outcome
    ) -> None:
        """A command that comes again gets its first answer; its id serves no other command."""
        if outcome != before if is_same else outcome.is_done:
            sentence = f"Command {number} repeats an id and was answered as if it were new."
            self._blame(signed, "ledger.command-repeated", sentence)

    def _verify_command(self, envelope: Envelope) -> Command | str:
        claimed = parse_document(envelope.payload, Command)
        if isinstance(claimed, str):
            return claimed
        try:
            key = self._books.consortium.member(claimed.enterprise).settlement_key
        except MutualEdgeError as error:
            return error.sentence
        flaw = check_signed_by_all(envelope, key)
        return parse_payload(envelope, Command) if flaw is None else flaw

    def _file(self, command: Command, signed: SignedBlock) -> None:
        """File what a command that took effect rests on, to be held against the records."""
        match command.action:
            case OpenLease(commitment=envelope):
                commitment = parse_document(envelope.payload, Commitment)
                assert not isinstance(commitment, str), "the books read it before"
                self._check_commitment(commitment, signed)
            case Settle(statement=envelope):
                statement = parse_document(envelope.payload, Statement)
                assert not isinstance(statement, str), "the books read it before"
                if statement.lease in self._case.terms:
                    self._desk.file_statement(envelope, statement, signed.line)
            case Claim(vouchers=vouchers, batches=batches):
                self._file_words(signed, vouchers, Voucher)
                self._file_words(signed, batches, RecordBatch)
            case Close(vouchers=vouchers):
                self._file_words(signed, vouchers, Voucher)
            case _:
                pass

    def _file_words(
        self,
        signed: SignedBlock,
        envelopes: tuple[Envelope, ...],
        kind: type[Voucher] | type[RecordBatch],
    ) -> None:
        for envelope in envelopes:
            word: Voucher | RecordBatch | str = parse_document(envelope.payload, kind)
            assert not isinstance(word, str), "the books read it before"
            if word.lease in self._case.terms:
                self._case.add_word(position_of(word, signed.line))

    def _check_commitment(self, commitment: Commitment, signed: SignedBlock) -> None:
        """What the ledger was told of a lease is what its agreement comes to."""
        terms = self._case.terms.get(LeaseId(commitment.lease))
        if terms is None:
            sentence = "A lease was opened here whose agreement is not a line of the bundle."
            self._add("missing.agreement", sentence, signed.line, commitment.lease)
        elif commitment != _commitment_of(commitment.lease, terms):
            sentence = "Both sides told the ledger other terms than stand in their agreement."
            self._add("ledger.commitment", sentence, signed.line, commitment.lease)

    def _blame(self, signed: SignedBlock, rule: str, sentence: str) -> None:
        self._add(rule, sentence, signed.line, signed.subject, LEDGER_WRITER)

    def _add(
        self, rule: str, sentence: str, line: int, subject: str, culprit: str = UNKNOWN
    ) -> None:
        self._case.findings.add(
            rule, sentence, step=_LEDGER, line=line, subject=subject, culprit=culprit
        )


def _commitment_of(lease: HexLeaseId, terms: LeaseTerms) -> Commitment:
    agreement = terms.agreement
    return Commitment(
        lease=lease,
        requester=agreement.requester,
        provider=agreement.provider,
        opens_by=agreement.opens_by,
        ends=agreement.ends,
        dispute_window_ms=agreement.dispute_window_ms,
        cost_max_microcredits=Microcredits(terms.cost_max_microcredits),
        exposure_microcredits=Microcredits(terms.exposure_microcredits),
    )
