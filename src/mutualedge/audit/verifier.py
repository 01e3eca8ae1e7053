"""The offline verifier: one pass over the file, then ten steps over what was kept of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from mutualedge.audit.blocks import BlockJudge
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
from mutualedge.audit.ledger import LedgerJudge
from mutualedge.audit.lineage import Lineage
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
        trust_digest: SHA-256 of the payload of a trust file, of whatever version, that the auditor
            knows from elsewhere. Without it the bundle is judged by the members it names itself.
    """
    findings = Findings()
    reader = BundleReader(lines, findings)
    gathered = Gathered(findings=findings)
    for line, item in reader.items():
        gathered.take(line, item)
    founding = _judge_trust(gathered, reader.header)
    if founding is None:
        return _report_without_trust(gathered, reader)
    blocks = BlockJudge(founding, findings)
    blocks.judge(gathered.blocks)
    lineage = blocks.lineage
    if trust_digest is not None:
        _check_pin(findings, lineage, trust_digest, gathered.trust[0][0])
    case = Case(lineage=lineage, findings=findings, usage=gathered.usage, logs=gathered.logs)
    return _judge(case, gathered, reader, blocks)


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


def _judge_trust(gathered: Gathered, header: HeaderItem | None) -> Consortium | None:
    """Step 1: one trust file, the founding one, signed by its members' quorum."""
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
    if header is not None and header.consortium != consortium.trust.consortium:
        sentence = f"The header names '{header.consortium}', the trust file another consortium."
        gathered.findings.add("header.consortium", sentence, step=_FORM, line=1, subject="header")
    return consortium


def _check_pin(findings: Findings, lineage: Lineage, pinned: Digest, line: int) -> None:
    """Step 1: the trust file that the auditor expects is a version of this one.

    Each version names the digest of the one before, so one that is known vouches for those.
    """
    if all(each.digest != pinned for each in lineage.versions):
        latest = lineage.latest
        sentence = (
            f"No version of the trust file is the pinned {pinned}; "
            f"the last, version {latest.trust.version}, is {latest.digest}."
        )
        findings.add("trust.pin", sentence, step=_FORM, line=line, subject="trust")


def _check_trust_form(
    findings: Findings, consortium: Consortium, envelope: Envelope, line: int
) -> None:
    """Every signature on the trust file is a member's, also those beyond the quorum."""
    keys = {key_id_of(each.enterprise_key): each.enterprise_key for each in consortium.members}
    flaw = check_signatures(envelope, keys)
    if flaw is not None:
        findings.add("trust.signature", flaw, step=_FORM, line=line, subject="trust")


def _judge(case: Case, gathered: Gathered, reader: BundleReader, blocks: BlockJudge) -> Report:
    """Run the steps in the order in which each rests on those before."""
    desk = DocumentDesk(case)
    for line, envelope in gathered.agreements:
        desk.take_agreement(envelope, line)
    attestations = AttestationDesk(case)
    for line, raw in gathered.attestations:
        attestations.take(raw, line)
    _take_documents(desk, gathered)
    ledger = LedgerJudge(case, desk, blocks)
    ledger.judge()
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
        blocks=len(blocks.chain),
        entries=sum(log.entry_count for log in case.logs.values()),
        cosignatures=logs.cosignature_count,
        settled_microcredits=ledger.settled_microcredits,
        ledger_sum_microcredits=ledger.sum_microcredits,
    )
    return _report(
        case.findings,
        counts,
        trust=_TrustSeen(
            consortium=case.consortium.trust.consortium,
            version=case.consortium.trust.version,
            digest=case.consortium.digest,
        ),
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
    trust = _TrustSeen(consortium=name, version=0, digest="")
    return _report(gathered.findings, counts, trust=trust, assurance=())


@dataclass(frozen=True, slots=True, kw_only=True)
class _TrustSeen:
    """What the report says of the trust file."""

    consortium: str
    version: int
    digest: str


def _report(
    findings: Findings,
    counts: Counts,
    *,
    trust: _TrustSeen,
    assurance: tuple[AssuranceLevel, ...],
) -> Report:
    """Step 10: everything that was found, in one value."""
    steps = findings.steps()
    return Report(
        status=worst([each.verdict for each in steps]),
        consortium=trust.consortium,
        trust_version=trust.version,
        trust_digest=trust.digest,
        counts=counts,
        assurance=assurance,
        steps=steps,
        findings=findings.sorted(),
        findings_omitted=findings.omitted,
    )
