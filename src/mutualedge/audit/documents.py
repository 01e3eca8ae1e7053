"""Signed documents of a bundle, each held against the keys that must sign before it is used."""

from mutualedge.audit.case import Case, SignedStatement
from mutualedge.audit.envelopes import (
    check_signatures,
    check_signed_by_all,
    parse_document,
    parse_payload,
)
from mutualedge.audit.report import UNKNOWN
from mutualedge.audit.terms import LeaseTerms, Position, terms_of
from mutualedge.errors import MutualEdgeError
from mutualedge.market import Agreement
from mutualedge.meter import RecordBatch, Statement, Voucher
from mutualedge.model import EnterpriseId, LeaseId
from mutualedge.signing import Envelope, key_id_of

_RECORD, _CHAIN, _MONEY = 5, 6, 8


class DocumentDesk:
    """Verifies documents into a case; agreements first, since they name who must sign the rest."""

    def __init__(self, case: Case) -> None:
        """Take the case to fill."""
        self._case = case

    def take_agreement(self, envelope: Envelope, line: int) -> None:
        """Step 5: both settlement keys signed it, and the node is the provider's."""
        agreement = parse_payload(envelope, Agreement)
        if isinstance(agreement, str):
            self._flaw("agreement.malformed", agreement, _RECORD, line, "agreement")
            return
        lease = LeaseId(envelope.payload_digest)
        flaw = self._flaw_of_parties(agreement)
        if flaw is None:
            flaw = check_signed_by_all(
                envelope,
                self._settlement_key(agreement.requester),
                self._settlement_key(agreement.provider),
            )
        if flaw is not None:
            self._flaw("agreement.signature", flaw, _RECORD, line, lease)
        elif lease not in self._case.terms:
            self._case.terms[lease] = terms_of(agreement, line)

    def take_batch(self, envelope: Envelope, line: int) -> None:
        """Step 6: the meter key it names signed it."""
        batch = parse_payload(envelope, RecordBatch)
        if isinstance(batch, str):
            self._flaw("batch.malformed", batch, _CHAIN, line, "batch")
            return
        flaw = check_signed_by_all(envelope, batch.meter_key)
        if flaw is not None:
            self._flaw("batch.signature", flaw, _CHAIN, line, batch.lease)
        else:
            self._case.add_word(position_of(batch, line))

    def take_voucher(self, envelope: Envelope, line: int) -> None:
        """Step 8: the requester's settlement key signed it."""
        voucher = parse_payload(envelope, Voucher)
        if isinstance(voucher, str):
            self._flaw("voucher.malformed", voucher, _MONEY, line, "voucher")
            return
        terms = self._terms("voucher", envelope, voucher.lease, line)
        if terms is None:
            return
        requester = self._settlement_key(terms.agreement.requester)
        flaw = check_signed_by_all(envelope, requester)
        if flaw is not None:
            self._flaw("voucher.signature", flaw, _MONEY, line, voucher.lease)
        else:
            self._case.add_word(position_of(voucher, line))

    def take_statement(self, envelope: Envelope, line: int) -> None:
        """Step 8: both settlement keys signed it."""
        statement = parse_payload(envelope, Statement)
        if isinstance(statement, str):
            self._flaw("statement.malformed", statement, _MONEY, line, "statement")
            return
        terms = self._terms("statement", envelope, statement.lease, line)
        if terms is None:
            return
        agreement = terms.agreement
        flaw = check_signed_by_all(
            envelope,
            self._settlement_key(agreement.requester),
            self._settlement_key(agreement.provider),
        )
        if flaw is not None:
            self._flaw("statement.signature", flaw, _MONEY, line, statement.lease)
        else:
            self.file_statement(envelope, statement, line)

    def take_logged(self, body_kind: str, body: bytes, line: int) -> None:
        """Take a voucher or statement that was opened from a log entry."""
        envelope = parse_document(body, Envelope)
        if isinstance(envelope, str):
            self._flaw(f"{body_kind}.malformed", envelope, _MONEY, line, body_kind)
        elif body_kind == "voucher":
            self.take_voucher(envelope, line)
        else:
            self.take_statement(envelope, line)

    def file_statement(self, envelope: Envelope, statement: Statement, line: int) -> None:
        """File a verified statement once, however often the bundle carries it."""
        filed = self._case.statements.setdefault(LeaseId(statement.lease), [])
        if any(each.digest == envelope.payload_digest for each in filed):
            return
        lines = tuple(
            Position(
                kind="statement",
                lease=LeaseId(statement.lease),
                meter=each.meter,
                through_seq=each.through_seq,
                head=each.head,
                total_microcredits=each.total_microcredits,
                line=line,
            )
            for each in statement.lines
        )
        filed.append(
            SignedStatement(
                lease=LeaseId(statement.lease),
                digest=envelope.payload_digest,
                lines=lines,
                total_microcredits=statement.total_microcredits,
                line=line,
            )
        )
        for each in lines:
            self._case.add_word(each)

    def _terms(self, what: str, envelope: Envelope, lease: str, line: int) -> LeaseTerms | None:
        """Return who must sign; without an agreement at least some member must have."""
        terms = self._case.terms.get(LeaseId(lease))
        if terms is None:
            members = self._case.consortium.everyone
            keys = {key_id_of(each.settlement_key): each.settlement_key for each in members}
            flaw = check_signatures(envelope, keys)
            if flaw is not None:
                self._flaw(f"{what}.signature", flaw, _MONEY, line, lease)
            else:
                sentence = "Who must sign this is in an agreement that is not in the bundle."
                self._flaw("missing.agreement", sentence, _MONEY, line, lease)
        return terms

    def _flaw_of_parties(self, agreement: Agreement) -> str | None:
        try:
            self._case.consortium.card(agreement.requester)
            provider = self._case.consortium.card(agreement.provider)
        except MutualEdgeError as error:
            return error.sentence
        if provider.node != agreement.node:
            return f"'{agreement.node}' is not the node of '{agreement.provider}'."
        return None

    def _settlement_key(self, enterprise: EnterpriseId) -> bytes:
        return self._case.consortium.card(enterprise).settlement_key

    def _flaw(self, rule: str, sentence: str, step: int, line: int, subject: str) -> None:
        self._case.findings.add(
            rule, sentence, step=step, line=line, subject=subject, culprit=UNKNOWN
        )


def position_of(signed: RecordBatch | Voucher, line: int) -> Position:
    """Return what a batch or voucher says about its chain."""
    return Position(
        kind="batch" if isinstance(signed, RecordBatch) else "voucher",
        lease=LeaseId(signed.lease),
        meter=signed.meter,
        through_seq=signed.through_seq,
        head=signed.head,
        total_microcredits=signed.total_microcredits,
        line=line,
    )
