"""The offline verifier: one pass over the file, then ten steps over what was kept of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from mutualedge.audit.blocks import LedgerJudge
from mutualedge.audit.bundle import (
    AgreementItem,
    AttestationItem,
    BatchItem,
    BlockItem,
    BundleItem,
    CheckpointItem,
    EntryItem,
    HeaderItem,
    SealedEntryItem,
    StatementItem,
    TrustItem,
    VoucherItem,
)
from mutualedge.audit.case import Case
from mutualedge.audit.chains import UsageBook
from mutualedge.audit.documents import DocumentDesk
from mutualedge.audit.envelopes import check_signatures, parse_document
from mutualedge.audit.logs import LogEvidence, LogJudge
from mutualedge.audit.money import MoneyJudge
from mutualedge.audit.placements import AttestationDesk
from mutualedge.audit.reader import BundleReader
from mutualedge.audit.records import RecordJudge
from mutualedge.audit.report import Counts, Findings, Report, worst
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, verify_trust
from mutualedge.meter import UsageRecord
from mutualedge.model import AssuranceLevel, Digest, EnterpriseId
from mutualedge.signing import Envelope, key_id_of
from mutualedge.tlog import leaf_hash, salted_leaf

_FORM, _RECORD = 1, 5


def verify_bundle(lines: Iterable[bytes], *, trust_digest: Digest | None = None) -> Report:
    """Return what a bundle proves, checked offline and by code that built none of it.

    Memory stays near 250 bytes a record and 40 bytes an entry; the documents around them
    (agreements, evidence, vouchers, blocks) are kept whole.

    Args:
        lines: The file's lines, newline included, as a file opened in binary mode yields them.
        trust_digest: SHA-256 of the trust file's payload that the auditor knows from elsewhere.
            Without it the bundle is judged by the members it names itself.
    """
    findings = Findings()
    reader = BundleReader(lines, findings)
    gathered = Gathered(findings=findings)
    for line, item in reader.items():
        gathered.take(line, item)
    consortium = _judge_trust(gathered, reader.header, trust_digest)
    if consortium is None:
        return _report_without_trust(gathered, reader)
    case = Case(consortium=consortium, findings=findings, usage=gathered.usage, logs=gathered.logs)
    return _judge(case, gathered, reader)


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What one pass keeps: entries as hashes and chains, everything else with its line."""

    findings: Findings
    usage: UsageBook = field(default_factory=UsageBook)
    logs: dict[EnterpriseId, LogEvidence] = field(default_factory=dict)
    trust: list[tuple[int, Envelope]] = field(default_factory=list)
    agreements: list[tuple[int, Envelope]] = field(default_factory=list)
    attestations: list[tuple[int, bytes]] = field(default_factory=list)
    batches: list[tuple[int, Envelope]] = field(default_factory=list)
    vouchers: list[tuple[int, Envelope]] = field(default_factory=list)
    statements: list[tuple[int, Envelope]] = field(default_factory=list)
    logged: list[tuple[int, str, bytes]] = field(default_factory=list)
    blocks: list[tuple[int, BlockItem]] = field(default_factory=list)

    def take(self, line: int, item: BundleItem) -> None:
        """Keep one item."""
        match item:
            case EntryItem():
                self._take_entry(line, item)
            case SealedEntryItem(log=log, index=index, entry=entry):
                evidence = self._log(log)
                evidence.add_leaf(index, leaf_hash(entry), line)
                evidence.sealed_count += 1
            case CheckpointItem(log=log, note=note):
                self._log(log).notes.append((line, note))
            case TrustItem(trust=envelope):
                self.trust.append((line, envelope))
            case AgreementItem(agreement=envelope):
                self.agreements.append((line, envelope))
            case AttestationItem(attestation=raw):
                self.attestations.append((line, raw))
            case BatchItem(batch=envelope):
                self.batches.append((line, envelope))
            case VoucherItem(voucher=envelope):
                self.vouchers.append((line, envelope))
            case StatementItem(statement=envelope):
                self.statements.append((line, envelope))
            case BlockItem():
                self.blocks.append((line, item))
            case HeaderItem():
                raise AssertionError("the reader keeps headers to itself")
            case _:
                assert_never(item)

    def _log(self, owner: EnterpriseId) -> LogEvidence:
        log = self.logs.get(owner)
        if log is None:
            log = self.logs[owner] = LogEvidence(owner=owner)
        return log

    def _take_entry(self, line: int, item: EntryItem) -> None:
        log = self._log(item.log)
        log.add_leaf(item.index, leaf_hash(salted_leaf(item.salt, item.body)), line)
        if item.body_kind != "record":
            self.logged.append((line, item.body_kind, item.body))
            return
        record = parse_document(item.body, UsageRecord)
        if isinstance(record, str):
            subject = f"log {item.log}/{item.index}"
            self.findings.add("record.malformed", record, step=_RECORD, line=line, subject=subject)
            return
        log.carries_records = True
        digest = hashlib.sha256(item.body).digest()
        self.usage.add(item.log, record, digest, line=line, index=item.index)


def _judge_trust(
    gathered: Gathered, header: HeaderItem | None, trust_digest: Digest | None
) -> Consortium | None:
    """Step 1: one trust file, signed by the members' quorum, the one the auditor expects."""
    if not gathered.trust:
        sentence = "The bundle holds no trust file; nothing in it can be held against a key."
        gathered.findings.add("missing.trust", sentence, step=_FORM, subject="trust")
        return None
    line, envelope = gathered.trust[0]
    for again, _ in gathered.trust[1:]:
        sentence = f"A trust file stands on line {line} already."
        gathered.findings.add("trust.repeated", sentence, step=_FORM, line=again, subject="trust")
    try:
        consortium = verify_trust(envelope)
    except MutualEdgeError as error:
        gathered.findings.add(
            "trust.signature", error.sentence, step=_FORM, line=line, subject="trust"
        )
        return None
    _check_trust_form(gathered.findings, consortium, envelope, line)
    if trust_digest is not None and envelope.payload_digest != trust_digest:
        sentence = f"The trust file is {envelope.payload_digest}, not the pinned {trust_digest}."
        gathered.findings.add("trust.pin", sentence, step=_FORM, line=line, subject="trust")
    if header is not None and header.consortium != consortium.trust.consortium:
        sentence = f"The header names '{header.consortium}', the trust file another consortium."
        gathered.findings.add("header.consortium", sentence, step=_FORM, line=1, subject="header")
    return consortium


def _check_trust_form(
    findings: Findings, consortium: Consortium, envelope: Envelope, line: int
) -> None:
    """Every signature on the trust file is a member's, also those beyond the quorum."""
    keys = {key_id_of(each.enterprise_key): each.enterprise_key for each in consortium.members}
    flaw = check_signatures(envelope, keys)
    if flaw is not None:
        findings.add("trust.signature", flaw, step=_FORM, line=line, subject="trust")


def _judge(case: Case, gathered: Gathered, reader: BundleReader) -> Report:
    """Run the steps in the order in which each rests on those before."""
    desk = DocumentDesk(case)
    for line, envelope in gathered.agreements:
        desk.take_agreement(envelope, line)
    attestations = AttestationDesk(case)
    for line, raw in gathered.attestations:
        attestations.take(raw, line)
    _take_documents(desk, gathered)
    ledger = LedgerJudge(case, desk)
    ledger.judge(gathered.blocks)
    logs = LogJudge(case.consortium, case.findings)
    for log in case.logs.values():
        logs.judge(log)
    records = RecordJudge(case)
    records.judge()
    MoneyJudge(case).judge()
    ledger.check_settlements()
    counts = Counts(
        lines=reader.line_count,
        records=case.usage.record_count,
        records_unbatched=records.unbatched_count,
        leases=len(case.terms),
        blocks=ledger.block_count,
        entries=sum(log.entry_count for log in case.logs.values()),
        cosignatures=logs.cosignature_count,
        settled_microcredits=ledger.settled_microcredits,
        ledger_sum_microcredits=ledger.sum_microcredits,
    )
    return _report(
        case.findings,
        counts,
        consortium=case.consortium.trust.consortium,
        trust_digest=gathered.trust[0][1].payload_digest,
        assurance=_levels(case),
    )


def _take_documents(desk: DocumentDesk, gathered: Gathered) -> None:
    for line, envelope in gathered.batches:
        desk.take_batch(envelope, line)
    for line, envelope in gathered.vouchers:
        desk.take_voucher(envelope, line)
    for line, envelope in gathered.statements:
        desk.take_statement(envelope, line)
    for line, body_kind, body in gathered.logged:
        desk.take_logged(body_kind, body, line)


def _levels(case: Case) -> tuple[AssuranceLevel, ...]:
    reached = [each.level for every in case.attested.values() for each in every]
    return tuple(level for level in AssuranceLevel if level in reached)


def _report_without_trust(gathered: Gathered, reader: BundleReader) -> Report:
    counts = Counts(
        lines=reader.line_count,
        records=gathered.usage.record_count,
        records_unbatched=gathered.usage.record_count,
        leases=0,
        blocks=0,
        entries=sum(log.entry_count for log in gathered.logs.values()),
        cosignatures=0,
        settled_microcredits=0,
        ledger_sum_microcredits=0,
    )
    for step in range(2, 10):
        sentence = "Not checked: without a valid trust file there are no keys to check against."
        gathered.findings.add("missing.trust", sentence, step=step, subject="trust")
    name = reader.header.consortium if reader.header else ""
    return _report(gathered.findings, counts, consortium=name, trust_digest="", assurance=())


def _report(
    findings: Findings,
    counts: Counts,
    *,
    consortium: str,
    trust_digest: str,
    assurance: tuple[AssuranceLevel, ...],
) -> Report:
    """Step 10: everything that was found, in one value."""
    steps = findings.steps()
    return Report(
        status=worst([each.verdict for each in steps]),
        consortium=consortium,
        trust_digest=trust_digest,
        counts=counts,
        assurance=assurance,
        steps=steps,
        findings=findings.sorted(),
        findings_omitted=findings.omitted,
    )
