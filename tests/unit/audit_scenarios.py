"""A consortium of three that lends, measures, signs, logs and settles; then writes a bundle.

Each method does what the honest party does; ``**lies`` change the fields of what it signs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

import msgspec

from mutualedge.adapters.nats import Nkey, Role
from mutualedge.audit import (
    BUNDLE_FORMAT,
    AgreementItem,
    AttestationItem,
    BatchItem,
    BlockItem,
    BundleItem,
    CheckpointItem,
    EntryItem,
    Finding,
    HeaderItem,
    Report,
    SealedEntryItem,
    StatementItem,
    TrustItem,
    VoucherItem,
    verify_bundle,
)
from mutualedge.identity import Consortium, Member, TrustFile, verify_trust
from mutualedge.ledger import (
    Action,
    AdoptTrust,
    Block,
    Command,
    Countersignature,
    Ledger,
    OpenLease,
    SetLimit,
    Settle,
)
from mutualedge.market import Agreement, commitment_of
from mutualedge.meter import RecordBatch, Statement, UsageRecord, Voucher, statement_of
from mutualedge.model import (
    NS_PER_MS,
    NS_PER_S,
    ZERO_DIGEST,
    AssuranceLevel,
    Digest,
    EnterpriseId,
    InvocationId,
    LeaseId,
    Microcredits,
    Milliseconds,
    NodeId,
    format_instant,
    parse_instant,
)
from mutualedge.signing import (
    Envelope,
    SigningKey,
    canonical_bytes,
    digest_of,
    parse_canonical,
    sign_record,
)
from mutualedge.tlog import (
    Checkpoint,
    NoteAlgorithm,
    NoteSigner,
    cosign,
    leaf_hash,
    root_of,
    salted_leaf,
    sign_checkpoint,
    with_signatures,
)
from tests.unit.audit_evidence import (
    PLATFORM,
    attest_meter,
    attestation_root,
    runner_measurement,
)

START_NS = parse_instant("2026-11-21T08:00:00.000Z")
LEASE_NS = 60 * NS_PER_S
CALL_RS_MS = 8
PRICE_MICROCREDITS = 5
CALL_MICROCREDITS = CALL_RS_MS * PRICE_MICROCREDITS
LIMIT_MICROCREDITS = 10_000_000
FUNCTION = Digest(sha256(b"function").hexdigest())

ACME, BOLT, CORD = (EnterpriseId(name) for name in ("acme", "bolt", "cord"))
NAMES = (ACME, BOLT, CORD)
"""Acme borrows, Bolt lends, Cord looks on."""

DUNE = EnterpriseId("dune")
"""Joins, where somebody does."""


@cache
def key(name: str) -> SigningKey:
    return SigningKey(sha256(name.encode()).digest())


WRITER, HUB_WITNESS = key("writer"), key("hub witness")


def _card(name: EnterpriseId) -> Member:
    return Member(
        enterprise=name,
        node=NodeId(f"{name}-node"),
        enterprise_key=key(f"enterprise {name}").public_bytes,
        node_key=key(f"node {name}").public_bytes,
        settlement_key=key(f"settlement {name}").public_bytes,
        log_key=key(f"log {name}").public_bytes,
        witness_key=key(f"witness {name}").public_bytes,
        account=Nkey(Role.ACCOUNT, sha256(name.encode()).digest()).public,
        platform=PLATFORM if name == BOLT else sha256(name.encode()).hexdigest()[:32],
    )


@cache
def trust_envelope() -> Envelope:
    trust = TrustFile(
        consortium=EnterpriseId("peak"),
        version=1,
        previous=ZERO_DIGEST,
        assurance=AssuranceLevel.SIMULATED,
        members=tuple(sign_record(_card(name), key(f"enterprise {name}")) for name in NAMES),
        writer_key=WRITER.public_bytes,
        witness_name="peak.mutualedge/hub/witness",
        witness_key=HUB_WITNESS.public_bytes,
        hub_account=Nkey(Role.ACCOUNT, bytes(32)).public,
        attestation_root=attestation_root(),
        runner_measurements=(runner_measurement(),),
    )
    return sign_record(trust, *(key(f"enterprise {name}") for name in NAMES))


@cache
def consortium() -> Consortium:
    return verify_trust(trust_envelope())


def successor(
    before: Consortium, *names: EnterpriseId, signers: Iterable[EnterpriseId] | None = None
) -> Envelope:
    """Return the next version with these members, signed by all before unless told."""
    trust = msgspec.structs.replace(
        before.trust,
        version=before.trust.version + 1,
        previous=before.digest,
        members=tuple(sign_record(_card(name), key(f"enterprise {name}")) for name in names),
    )
    voters = [each.enterprise for each in before.members] if signers is None else signers
    return sign_record(trust, *(key(f"enterprise {name}") for name in voters))


def opening(agreed: Envelope) -> OpenLease:
    """Return what tells the ledger of an agreement, signed by both."""
    told = parse_canonical(agreed.payload, Agreement)
    commitment = commitment_of(LeaseId(agreed.payload_digest), told)
    both = (key(f"settlement {told.requester}"), key(f"settlement {told.provider}"))
    return OpenLease(commitment=sign_record(commitment, *both))


@dataclass
class Lending:
    """One lease with one meter, as its provider and runner see it."""

    lease: LeaseId
    agreement: Agreement
    envelope: Envelope
    meter: SigningKey
    evidence: bytes
    bodies: list[bytes] = field(default_factory=list)
    total: int = 0
    vouchers: list[Voucher] = field(default_factory=list)

    @property
    def head(self) -> Digest:
        return digest_of(self.bodies[-1]) if self.bodies else ZERO_DIGEST


class Scenario:
    """Everything signed so far, in the order in which it came to be."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.items: list[BundleItem] = [TrustItem(trust=trust_envelope())]
        self.entries: dict[EnterpriseId, list[tuple[bytes, str, bytes]]] = {}
        self.ledger = Ledger(consortium(), ())
        self._commands = 0

    # --- ledger

    def command(self, enterprise: EnterpriseId, action: Action) -> Envelope:
        self._commands += 1
        name = InvocationId(sha256(b"command %d" % self._commands).hexdigest()[:32])
        command = Command(enterprise=enterprise, id=name, action=action)
        return sign_record(command, key(f"settlement {enterprise}"))

    def order(self, *commands: Envelope) -> BlockItem:
        """Have the ledger writer carry commands out in one block, countersigned by all."""
        execution = self.ledger.execute(commands, self.now_ns, WRITER)
        assert all(outcome.is_done for outcome in execution.outcomes), execution.outcomes
        members = self.ledger.consortium_at(self.ledger.height).members
        return self.add_block(execution.block, [each.enterprise for each in members])

    def adopt(self, *names: EnterpriseId, by: EnterpriseId = ACME) -> BlockItem:
        """Have the ledger adopt the next version of the trust file, with these members."""
        trust = successor(self.ledger.consortium, *names)
        return self.order(self.command(by, AdoptTrust(trust=trust)))

    def add_block(self, block: Envelope, signers: Iterable[EnterpriseId] = NAMES) -> BlockItem:
        height = parse_canonical(block.payload, Block).height
        word = Countersignature(height=height, block=block.payload_digest)
        words = tuple(sign_record(word, key(f"settlement {name}")) for name in signers)
        item = BlockItem(block=block, countersignatures=words)
        self.items.append(item)
        return item

    # --- lease, records, words

    def allow(self, limit: int = LIMIT_MICROCREDITS) -> None:
        action = SetLimit(debtor=ACME, limit_microcredits=Microcredits(limit))
        self.order(self.command(BOLT, action))

    def lend(self, *, listed: bool = True, opened: bool = True, **terms: object) -> Lending:
        """Sign a lease of a minute, open it on the ledger, attest its meter."""
        number = len(self.items)
        agreed = Agreement(
            requester=ACME,
            provider=BOLT,
            node=NodeId("bolt-node"),
            function=FUNCTION,
            budget_ns=CALL_RS_MS * NS_PER_MS - 1,
            period_ns=20 * NS_PER_MS,
            deadline_ns=20 * NS_PER_MS,
            opens_by=format_instant(self.now_ns + LEASE_NS),
            starts=format_instant(self.now_ns),
            ends=format_instant(self.now_ns + LEASE_NS),
            price_microcredits=Microcredits(PRICE_MICROCREDITS),
            window_calls=4,
            window_ms=Milliseconds(10_000),
            dispute_window_ms=Milliseconds(120_000),
            network_ms=Milliseconds(5),
            assurance=AssuranceLevel.SIMULATED,
            nonce=InvocationId(f"{number:032x}"),
        )
        agreed = msgspec.structs.replace(agreed, **terms)
        envelope = sign_record(agreed, key("settlement acme"), key("settlement bolt"))
        lease, meter = LeaseId(envelope.payload_digest), key(f"meter {number}")
        attestation = attest_meter(
            lease,
            agreed,
            meter.public_bytes,
            key("node bolt"),
            self.now_ns,
            trust=self.ledger.consortium.digest,
        )
        if listed:
            self.items.append(AgreementItem(agreement=envelope))
        self.items.append(AttestationItem(attestation=canonical_bytes(attestation)))
        if opened:
            self.order(self.command(ACME, opening(envelope)))
        return Lending(lease, agreed, envelope, meter, attestation.evidence)

    def serve(
        self, lending: Lending, count: int = 1, *, logged: bool = True, **lies: object
    ) -> None:
        """Measure this many calls, chain and log their records."""
        for _ in range(count):
            body = canonical_bytes(self.next_record(lending, **lies))
            lending.bodies.append(body)
            lending.total += parse_canonical(body, UsageRecord).amount_microcredits
            if logged:
                self.log(lending.agreement.provider, "record", body)

    def next_record(self, lending: Lending, **lies: object) -> UsageRecord:
        seq = len(lending.bodies) + 1
        name = sha256(f"{lending.lease} {seq}".encode()).hexdigest()
        record = UsageRecord(
            lease=lending.lease,
            meter=lending.meter.key_id,
            seq=seq,
            prev=lending.head,
            requester=lending.agreement.requester,
            provider=lending.agreement.provider,
            node=lending.agreement.node,
            function=lending.agreement.function,
            runtime="wasmtime 44",
            invocation=InvocationId(name[:32]),
            request=Digest(name),
            response=Digest(name),
            status="ok",
            rs_ms=CALL_RS_MS,
            fuel=1_000_000,
            cpu_ns=5 * NS_PER_MS,
            memory_bytes=1 << 20,
            in_bytes=900,
            out_bytes=300,
            amount_microcredits=Microcredits(CALL_MICROCREDITS),
            assurance=AssuranceLevel.SIMULATED,
            attestation=digest_of(lending.evidence),
        )
        return msgspec.structs.replace(record, **lies)

    def batch(self, lending: Lending, **lies: object) -> Envelope:
        word = RecordBatch(**self._position(lending))
        signed = sign_record(msgspec.structs.replace(word, **lies), lending.meter)
        self.items.append(BatchItem(batch=signed))
        return signed

    def vouch(self, lending: Lending, **lies: object) -> Envelope:
        voucher = msgspec.structs.replace(Voucher(**self._position(lending)), **lies)
        lending.vouchers.append(voucher)
        signed = sign_record(voucher, key("settlement acme"))
        self.items.append(VoucherItem(voucher=signed))
        return signed

    def _position(self, lending: Lending) -> dict[str, object]:
        return {
            "lease": lending.lease,
            "meter_key": lending.meter.public_bytes,
            "through_seq": len(lending.bodies),
            "head": lending.head,
            "total_microcredits": Microcredits(lending.total),
        }

    def state(self, lending: Lending, *vouchers: Voucher) -> Envelope:
        """Sign the statement of these vouchers, or the last one, and log it on both sides."""
        statement = statement_of(lending.lease, vouchers or (lending.vouchers[-1],))
        return self.add_statement(statement)

    def add_statement(self, statement: Statement) -> Envelope:
        signed = sign_record(statement, key("settlement acme"), key("settlement bolt"))
        self.items.append(StatementItem(statement=signed))
        for owner in (ACME, BOLT):
            self.log(owner, "statement", canonical_bytes(signed))
        return signed

    def settle(self, statement: Envelope) -> BlockItem:
        return self.order(self.command(BOLT, Settle(statement=statement)))

    # --- logs

    def log(self, owner: EnterpriseId, body_kind: str, body: bytes) -> None:
        """Append to a log; ``sealed`` entries stay closed in the bundle."""
        entries = self.entries.setdefault(owner, [])
        salt = sha256(f"{owner} {len(entries)}".encode() + body).digest()
        entries.append((salt, body_kind, body))
        index = len(entries) - 1
        if body_kind == "sealed":
            entry = salted_leaf(salt, body)
            self.items.append(SealedEntryItem(log=owner, index=index, entry=entry))
        else:
            self.items.append(
                EntryItem(log=owner, index=index, salt=salt, body_kind=body_kind, body=body)
            )

    def publish(
        self,
        *owners: EnterpriseId,
        witnesses: Iterable[EnterpriseId] = NAMES,
        by_hub: bool = True,
        time_s: int | None = None,
        root: bytes | None = None,
    ) -> None:
        """Sign the logs' checkpoints and have partners and hub cosign them."""
        names = consortium()
        at_s = self.now_ns // NS_PER_S if time_s is None else time_s
        for owner in owners:
            entries = self.entries.get(owner, [])
            leaves = [leaf_hash(salted_leaf(salt, body)) for salt, _, body in entries]
            checkpoint = Checkpoint(
                origin=names.log_origin(owner), size=len(leaves), root=root or root_of(leaves)
            )
            signer = NoteSigner(name=checkpoint.origin, key=key(f"log {owner}"))
            note = sign_checkpoint(checkpoint, signer)
            cosigners = [
                _witness(names.witness_name(each), key(f"witness {each}"))
                for each in witnesses
                if each != owner
            ]
            if by_hub:
                cosigners.append(_witness(names.trust.witness_name, HUB_WITNESS))
            lines = [cosign(checkpoint.text, each, at_s) for each in cosigners]
            self.items.append(
                CheckpointItem(log=owner, note=with_signatures(note, lines) if lines else note)
            )

    def write(self) -> list[bytes]:
        return write_lines(self.items)

    def verify(self) -> Report:
        return verify_bundle(self.write())


def _witness(name: str, signing_key: SigningKey) -> NoteSigner:
    return NoteSigner(name=name, key=signing_key, algorithm=NoteAlgorithm.COSIGNATURE_V1)


def write_lines(items: Iterable[BundleItem]) -> list[bytes]:
    """Return the lines of the bundle that holds these items."""
    items = list(items)
    header = HeaderItem(
        format=BUNDLE_FORMAT,
        consortium=EnterpriseId("peak"),
        exported=format_instant(START_NS),
        items=len(items),
    )
    return [canonical_bytes(item) + b"\n" for item in (header, *items)]


def served(calls: int = 5) -> tuple[Scenario, Lending]:
    """Return a scenario with one lease under which calls were made, nothing signed for them."""
    scenario = Scenario()
    scenario.allow()
    lending = scenario.lend()
    scenario.vouch(lending)
    scenario.serve(lending, calls)
    return scenario, lending


def signed(calls: int = 5) -> tuple[Scenario, Lending]:
    """Return the same with the runner's batch and the requester's voucher over all calls."""
    scenario, lending = served(calls)
    scenario.batch(lending)
    scenario.vouch(lending)
    return scenario, lending


def finish(scenario: Scenario, lending: Lending) -> Scenario:
    """State and settle the lease after its end, publish both logs."""
    scenario.now_ns += LEASE_NS
    scenario.settle(scenario.state(lending))
    scenario.publish(ACME, BOLT)
    return scenario


def honest(calls: int = 5) -> Scenario:
    """Return a scenario in which everybody did what was agreed, with a sealed entry between."""
    scenario, lending = served(max(1, calls // 2))
    scenario.log(BOLT, "sealed", b"somebody else's record")
    scenario.publish(BOLT)
    scenario.now_ns += 10 * NS_PER_S
    scenario.batch(lending)
    scenario.vouch(lending)
    scenario.serve(lending, calls - max(1, calls // 2))
    scenario.serve(lending, rs_ms=0, amount_microcredits=0, status="repeated")
    scenario.batch(lending)
    scenario.vouch(lending)
    return finish(scenario, lending)


def tampered(
    scenario: Scenario, kind: type[BundleItem], change: Callable[[BundleItem], BundleItem | None]
) -> tuple[list[bytes], int]:
    """Return the bundle with the last item of a kind changed (or left out), and its line."""
    at = max(index for index, item in enumerate(scenario.items) if isinstance(item, kind))
    after = change(scenario.items[at])
    items = [*scenario.items[:at], *([] if after is None else [after]), *scenario.items[at + 1 :]]
    return write_lines(items), at + 2


def only(report: Report, rule: str) -> Finding:
    """Return the finding of a rule; there must be exactly one of it."""
    (found,) = [each for each in report.findings if each.rule == f"audit.{rule}"]
    return found
