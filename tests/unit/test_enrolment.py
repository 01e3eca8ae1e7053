"""Who joins: what the office keeps, what it answers, and what it refuses."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from mutualedge.adapters.nats import verify_activation
from mutualedge.adapters.tee_sim import SimulatedPlatform, make_test_root
from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.enterprise import EnterpriseSecrets
from mutualedge.app.office import Office
from mutualedge.consortium.approvals import APPROVAL_BUCKET
from mutualedge.consortium.enrolment import (
    ACTIVATION_BUCKET,
    APPLICATION_BUCKET,
    PRESENT_NS,
    DeskRequest,
    Enrolment,
)
from mutualedge.consortium.invitations import INVITATION_BUCKET
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import (
    HUB,
    Consortium,
    TrustFile,
    create_authority,
    supermajority,
    verify_successor,
    with_measurement,
    with_member,
)
from mutualedge.identity.members import MEMBERS_MAX
from mutualedge.model import NS_PER_S, Digest, EnterpriseId, format_instant
from mutualedge.protocol import (
    APPLICATIONS_MAX,
    INVITATIONS_MAX,
    MESSAGE_BYTES_MAX,
    Accepted,
    Admission,
    Application,
    Applications,
    Applied,
    Apply,
    ApprovalOrder,
    Approve,
    Approved,
    AskApplications,
    AskConsortium,
    AskLedger,
    AskProgress,
    ConsortiumShown,
    Invite,
    InviteOrder,
    ListOrder,
    Progress,
    ReleaseAccepted,
    ReleaseWaiting,
    Renew,
    Renewed,
    RenewOrder,
    encode_message,
)
from mutualedge.protocol.enrolment import Change
from mutualedge.signing import (
    Entropy,
    Envelope,
    SigningKey,
    countersign,
    parse_canonical,
    sign_record,
)
from tests.unit.ledger_world import NAMES, consortium, key, settlement_key

NOW_NS = 1_800_000_000 * NS_PER_S
SECRET = b"s" * 32
NEWCOMER = EnterpriseId("newcomer")
MEASUREMENT, NEWER = Digest("ab" * 32), Digest("cd" * 32)
DAY_NS = 86_400 * NS_PER_S
FIRST, SECOND, THIRD = NAMES[:3]


def secrets(name: str = NEWCOMER, seed: bytes = b"x") -> EnterpriseSecrets:
    return EnterpriseSecrets.draw(EnterpriseId(name), Entropy(seed * 32))


def sha_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def account_seed(name: str) -> bytes:
    """Return the seed behind the account on a member's card in the ledger's world."""
    return bytes(32) if name == HUB else sha_of(name)


@dataclass
class Rows:
    """A store in memory, as the hub's driver would keep it."""

    rows: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def get(self, bucket: str, key: str) -> bytes | None:
        return self.rows.get(bucket, {}).get(key)

    def last_key(self, bucket: str) -> str | None:
        return max(self.rows.get(bucket, {}), default=None)

    def scan(self, bucket: str, prefix: str = "") -> list[tuple[str, bytes]]:
        rows = sorted(self.rows.get(bucket, {}).items())
        return [(key, value) for key, value in rows if key.startswith(prefix)]


@dataclass
class Bench:
    """An office, the consortium it works for, and what it has stored."""

    consortium: Consortium = field(default_factory=consortium)
    store: Rows = field(default_factory=Rows)
    now_ns: int = NOW_NS

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        entropy = Entropy(b"o" * 32)
        authority = create_authority("peak", entropy=entropy, now_ns=NOW_NS)
        office = Office(authority, make_test_root("peak", entropy.draw(), NOW_NS))
        self.desk = Enrolment(
            issue=office.credentials,
            verify_door=verify_activation,
            release="1.2",
            founding=consortium().envelope,
            store=self.store,
        )
        self.desk.begin(self.now_ns)

    def ask(self, request: DeskRequest) -> object:
        reply = self.desk.answer(request, self.consortium, self.now_ns)
        for write in self.desk.take_writes():
            rows = self.store.rows.setdefault(write.bucket, {})
            if write.value is None:
                rows.pop(write.key, None)
            else:
                rows[write.key] = write.value
        return reply

    def refusal(self, request: DeskRequest) -> str:
        with pytest.raises(MutualEdgeError) as refused:
            self.ask(request)
        assert not self.desk.take_writes()
        return refused.value.code

    def approved(self, by: EnterpriseId, own: EnterpriseSecrets | None = None) -> Approved:
        reply = self.ask(approve(by, own))
        assert isinstance(reply, Approved)
        return reply

    def invited(self) -> "Bench":
        assert self.ask(invite()) == Accepted()
        return self

    def applied(self) -> "Bench":
        self.invited().ask(apply())
        return self


def invite(
    by: EnterpriseId = FIRST,
    newcomer: EnterpriseId = NEWCOMER,
    secret: bytes = SECRET,
    **changes: object,
) -> Invite:
    order = InviteOrder(
        enterprise=by,
        newcomer=newcomer,
        secret_digest=Digest(hashlib.sha256(secret).hexdigest()),
        expires=format_instant(NOW_NS + DAY_NS),
        at=format_instant(NOW_NS),
    )
    changed = msgspec.structs.replace(order, **changes)
    return Invite(order=sign_record(changed, settlement_key(by)))


def application(own: EnterpriseSecrets, **changes: object) -> Envelope:
    account = account_key(own.account)
    whole = Application(
        card=own.card(),
        release="1.3",
        measurement=MEASUREMENT,
        tls_public_key_pem=own.tls_public_key_pem,
        activations={
            name: open_door(account, other, NOW_NS) for name, other in consortium().accounts.items()
        },
    )
    changed = msgspec.structs.replace(whole, **changes)
    return sign_record(changed, SigningKey(own.enterprise))


def apply(own: EnterpriseSecrets | None = None, secret: bytes = SECRET, **changes: object) -> Apply:
    return Apply(secret=secret, application=application(own or secrets(), **changes))


def approve(by: EnterpriseId, own: EnterpriseSecrets | None = None, **changes: object) -> Approve:
    newcomer = own or secrets()
    importer = account_key(newcomer.account).public
    door = open_door(account_key(account_seed(by)), importer, NOW_NS)
    admission = Admission(newcomer=NEWCOMER, activation=door)
    return approval(by, admission, with_member(consortium(), newcomer.card()), **changes)


def approve_release(by: EnterpriseId, measurement: Digest = NEWER, **changes: object) -> Approve:
    accepted = ReleaseAccepted(release="1.3", measurement=measurement)
    return approval(by, accepted, with_measurement(consortium(), NEWER), **changes)


def approval(by: EnterpriseId, change: Change, trust: TrustFile, /, **changes: object) -> Approve:
    order = ApprovalOrder(
        enterprise=by,
        change=change,
        trust=sign_record(trust, key(f"enterprise {by}")),
        at=format_instant(NOW_NS),
    )
    changed = msgspec.structs.replace(order, **changes)
    return Approve(order=sign_record(changed, settlement_key(by)))


def list_order(by: EnterpriseId = FIRST) -> AskApplications:
    order = ListOrder(enterprise=by, at=format_instant(NOW_NS))
    return AskApplications(order=sign_record(order, settlement_key(by)))


def test_who_is_gone_is_not_let_in() -> None:
    """Two members and one that never comes would be a consortium where no block is final."""
    bench = Bench().applied()
    *others, last = NAMES
    for name in others[: supermajority(len(NAMES)) - 1]:
        assert bench.approved(name).trust is None
    bench.now_ns += PRESENT_NS + 1
    again = approve(last, at=format_instant(bench.now_ns))
    assert bench.refusal(again) == "enrolment.newcomer.away"
    bench.restart()
    bench.now_ns += PRESENT_NS + 1
    assert bench.refusal(again) == "enrolment.newcomer.away"  # it had time enough to ask
    bench.ask(AskProgress(secret=SECRET))
    reply = bench.ask(again)
    assert isinstance(reply, Approved)
    assert reply.trust is not None


def test_a_newcomer_becomes_a_member() -> None:
    """Invited, applied, approved by enough: what they signed is the trust file's successor."""
    bench = Bench().invited()
    shown = bench.ask(AskConsortium(secret=SECRET))
    assert shown == ConsortiumShown(founding=consortium().envelope, trust=consortium().envelope)
    needed = supermajority(len(NAMES))
    assert bench.ask(apply()) == Progress(approved=(), needed=needed, is_admitted=False)
    for name in NAMES[: needed - 1]:
        bench.restart()  # whatever was answered survives it
        assert bench.approved(name).trust is None
    signed = bench.approved(NAMES[needed - 1])
    assert signed.approved == NAMES[:needed]
    assert signed.trust is not None
    bench.consortium = verify_successor(signed.trust, consortium())
    bench.consortium = verify_successor(signed.trust, consortium())
    done = Progress(approved=(), needed=supermajority(len(NAMES) + 1), is_admitted=True)
    assert bench.ask(AskProgress(secret=SECRET)) == done
    bench.desk.verify_reader(ask_ledger(secrets()), bench.consortium, NOW_NS)
    renewed = bench.ask(renewed_by(secrets()))
    assert isinstance(renewed, Renewed)
    assert renewed.credentials.certificate_pem.startswith("-----BEGIN CERTIFICATE-----")


def admitted() -> Bench:
    """Return an office of a consortium that adopted the newcomer, days after the invitation."""
    bench = Bench().applied()
    approvals = [bench.approved(name) for name in NAMES[: supermajority(len(NAMES))]]
    signed = approvals[-1].trust
    assert signed is not None
    bench.consortium = verify_successor(signed, consortium())
    bench.now_ns += 2 * DAY_NS
    bench.restart()
    return bench


def test_who_was_interrupted_goes_on() -> None:
    """Admitted, but away until its invitation expired: it asks and applies as before."""
    bench = admitted()
    assert isinstance(bench.ask(AskConsortium(secret=SECRET)), ConsortiumShown)
    for request in (apply(), AskProgress(secret=SECRET)):
        progress = bench.ask(request)
        assert isinstance(progress, Progress)
        assert progress.is_admitted


def test_a_secret_gets_no_credentials() -> None:
    """Whoever invited knows it as well: the machine of a member is for who signs as that member."""
    bench = admitted()
    bench.now_ns = NOW_NS
    stranger = replace(secrets(), settlement=sha_of("of whoever invited"))
    assert bench.refusal(renewed_by(stranger)) == "signing.envelope.unsigned"
    with pytest.raises(MutualEdgeError) as refused:
        bench.desk.verify_reader(ask_ledger(stranger), bench.consortium, NOW_NS)
    assert refused.value.code == "signing.envelope.unsigned"


def ask_ledger(own: EnterpriseSecrets) -> AskLedger:
    order = ListOrder(enterprise=own.name, at=format_instant(NOW_NS))
    return AskLedger(order=sign_record(order, SigningKey(own.settlement)), from_height=1)


def renewed_by(own: EnterpriseSecrets) -> Renew:
    order = RenewOrder(
        enterprise=own.name,
        measurement=MEASUREMENT,
        tls_public_key_pem=own.tls_public_key_pem,
        activations={},
        at=format_instant(NOW_NS),
    )
    return Renew(order=sign_record(order, SigningKey(own.settlement)))


def test_doors_open_with_the_approval() -> None:
    """Who approved may be called by the newcomer; whom it let in may call it."""
    bench = Bench().applied()
    assert ACTIVATION_BUCKET not in bench.store.rows
    bench.ask(approve(FIRST))
    doors = set(bench.store.rows[ACTIVATION_BUCKET])
    assert doors == {f"{FIRST}/{NEWCOMER}"} | {f"{NEWCOMER}/{name}" for name in (HUB, *NAMES)}


def test_members_see_who_waits() -> None:
    """The list has the application as it came, and who approved it."""
    bench = Bench().applied()
    bench.ask(approve(SECOND))
    shown = bench.ask(list_order())
    assert isinstance(shown, Applications)
    (waiting,) = shown.waiting
    assert waiting.card == secrets().card()
    assert waiting.approved == (SECOND,)


def test_an_approval_is_for_one_application() -> None:
    """A newcomer that applies again with other keys begins again; nobody's word moves over."""
    bench = Bench().applied()
    bench.ask(approve(FIRST))
    other = secrets(seed=b"y")
    progress = bench.ask(apply(other))
    assert isinstance(progress, Progress)
    assert progress.approved == ()
    assert bench.refusal(approve(SECOND)) == "enrolment.approval.other"
    assert bench.approved(SECOND, other).approved == (SECOND,)


def renew(by: EnterpriseId, **changes: object) -> Renew:
    account = account_key(account_seed(by))
    order = RenewOrder(
        enterprise=by,
        measurement=MEASUREMENT,
        tls_public_key_pem=secrets().tls_public_key_pem,
        activations={HUB: open_door(account, consortium().accounts[HUB], NOW_NS)},
        at=format_instant(NOW_NS),
    )
    changed = msgspec.structs.replace(order, **changes)
    return Renew(order=sign_record(changed, settlement_key(by)))


def parsed(request: Renew) -> RenewOrder:
    return parse_canonical(request.order.payload, RenewOrder)


def test_a_member_renews_what_expires() -> None:
    """It gets another certificate, and its doors stay open for as long."""
    bench = Bench()
    renewed = bench.ask(renew(FIRST))
    assert isinstance(renewed, Renewed)
    assert renewed.credentials.certificate_pem.startswith("-----BEGIN CERTIFICATE-----")
    assert set(bench.store.rows[ACTIVATION_BUCKET]) == {f"{FIRST}/{HUB}"}


def test_a_release_is_accepted_beside_those_before() -> None:
    """What enough members signed names both measurements; then its runners get their machines."""
    bench = Bench()
    needed = supermajority(len(NAMES))
    for name in NAMES[: needed - 1]:
        reply = bench.ask(approve_release(name))
        assert isinstance(reply, Approved)
        assert reply.trust is None
        bench.restart()  # whatever was answered survives it
    shown = bench.ask(list_order())
    assert isinstance(shown, Applications)
    waiting = ReleaseWaiting(release="1.3", measurement=NEWER, approved=NAMES[: needed - 1])
    assert shown.releases == (waiting,)
    signed = bench.ask(approve_release(NAMES[needed - 1]))
    assert isinstance(signed, Approved)
    assert signed.trust is not None
    assert bench.refusal(renew(FIRST, measurement=NEWER)) == "enrolment.release.unknown"
    bench.consortium = verify_successor(signed.trust, consortium())
    assert set(bench.consortium.trust.runner_measurements) == {MEASUREMENT, NEWER}
    renewed = bench.ask(renew(FIRST, measurement=NEWER))
    assert isinstance(renewed, Renewed)
    platform = SimulatedPlatform.from_bytes(renewed.credentials.platform)
    assert platform.mr_enclave == NEWER
    again = bench.ask(list_order())
    assert isinstance(again, Applications)
    assert again.releases == ()


Case = tuple[Callable[[], Bench], Callable[[], DeskRequest], str]

CASES: dict[str, Case] = {
    "invited by nobody": (
        Bench,
        lambda: msgspec.structs.replace(
            invite(),
            order=sign_record(
                parse_canonical(invite().order.payload, InviteOrder), key("stranger")
            ),
        ),
        "signing.envelope.unsigned",
    ),
    "invited a member": (Bench, lambda: invite(newcomer=SECOND), "enrolment.newcomer.member"),
    "invited for a month": (
        Bench,
        lambda: invite(expires=format_instant(NOW_NS + 30 * DAY_NS)),
        "enrolment.invitation.long",
    ),
    "invited long ago": (
        Bench,
        lambda: invite(at=format_instant(NOW_NS - DAY_NS)),
        "enrolment.order.stale",
    ),
    "not invited": (Bench, apply, "enrolment.invitation.unknown"),
    "another secret": (
        lambda: Bench().invited(),
        lambda: apply(secret=b"t" * 32),
        "enrolment.invitation.unknown",
    ),
    "another name": (
        lambda: Bench().invited(),
        lambda: apply(secrets("rival")),
        "enrolment.newcomer.other",
    ),
    "another release": (
        lambda: Bench().invited(),
        lambda: apply(measurement=Digest("cd" * 32)),
        "enrolment.release.mismatch",
    ),
    "no door for a member": (
        lambda: Bench().invited(),
        lambda: apply(activations={}),
        "enrolment.application.door",
    ),
    "a door to nobody": (
        lambda: Bench().invited(),
        lambda: apply(
            activations=parse_canonical(application(secrets()).payload, Application).activations
            | {EnterpriseId("nobody"): "garbage"}
        ),
        "enrolment.application.door",
    ),
    "somebody else's door": (
        lambda: Bench().invited(),
        lambda: apply(
            activations=parse_canonical(
                application(secrets(seed=b"y")).payload, Application
            ).activations
        ),
        "nats.activation.forged",
    ),
    "more than an application has": (
        lambda: Bench().invited(),
        lambda: apply(
            activations={EnterpriseId(f"n{index}"): "x" * 16_384 for index in range(9)},
        ),
        "enrolment.application.large",
    ),
    "a card with words of others": (
        lambda: Bench().invited(),
        lambda: apply(card=countersign(secrets().card(), key("somebody"))),
        "enrolment.application.signatures",
    ),
    "a key that another has": (
        lambda: Bench().invited(),
        lambda: apply(replace(secrets(), settlement=sha_of(f"settlement of {SECOND}"))),
        "identity.trust.shared",
    ),
    "nothing applied for": (
        lambda: Bench().invited(),
        lambda: AskProgress(secret=SECRET),
        "enrolment.application.missing",
    ),
    "renewed by a stranger": (
        Bench,
        lambda: Renew(order=sign_record(parsed(renew(FIRST)), key("stranger"))),
        "signing.envelope.unsigned",
    ),
    "renewed another's door": (
        Bench,
        lambda: renew(FIRST, activations=parsed(renew(SECOND)).activations),
        "nats.activation.forged",
    ),
    "renewed a door to nobody": (
        Bench,
        lambda: renew(FIRST, activations={NEWCOMER: "x"}),
        "enrolment.door.unknown",
    ),
    "approved a release that is accepted": (
        Bench,
        lambda: approve_release(FIRST, MEASUREMENT),
        "identity.measurement.known",
    ),
    "approved a release with another's trust file": (
        Bench,
        lambda: approve_release(FIRST, Digest("ef" * 32)),
        "enrolment.approval.other",
    ),
    "approved a release without the enterprise key": (
        Bench,
        lambda: approve_release(
            FIRST,
            trust=sign_record(with_measurement(consortium(), NEWER), settlement_key(FIRST)),
        ),
        "signing.envelope.unsigned",
    ),
    "renewed for a release nobody approved": (
        Bench,
        lambda: renew(FIRST, measurement=NEWER),
        "enrolment.release.unknown",
    ),
    "approved nobody": (
        lambda: Bench().invited(),
        lambda: approve(FIRST),
        "enrolment.application.unknown",
    ),
    "approved without the enterprise key": (
        lambda: Bench().applied(),
        lambda: approve(
            FIRST,
            trust=sign_record(with_member(consortium(), secrets().card()), settlement_key(FIRST)),
        ),
        "signing.envelope.unsigned",
    ),
    "approved with another's door": (
        lambda: Bench().applied(),
        lambda: approve(
            FIRST,
            change=Admission(
                newcomer=NEWCOMER,
                activation=open_door(
                    account_key(account_seed(SECOND)),
                    account_key(secrets().account).public,
                    NOW_NS,
                ),
            ),
        ),
        "nats.activation.forged",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_refused_changes_nothing(case: Case) -> None:
    """Each refusal has its code, and leaves no row behind."""
    before, request, code = case
    bench = before()
    rows = msgspec.json.encode(bench.store.rows)
    assert bench.refusal(request()) == code
    assert msgspec.json.encode(bench.store.rows) == rows


def test_an_invitation_expires() -> None:
    """After its day it opens nothing."""
    bench = Bench().invited()
    bench.now_ns += DAY_NS
    assert bench.refusal(apply()) == "enrolment.invitation.unknown"


def test_who_waits_may_not_read_the_ledger() -> None:
    """History is for members; a newcomer is one once it is adopted."""
    bench = Bench().applied()
    with pytest.raises(MutualEdgeError) as refused:
        bench.desk.verify_reader(ask_ledger(secrets()), bench.consortium, NOW_NS)
    assert refused.value.code == "identity.member.unknown"


def test_below_a_third_of_the_members_fill_no_office() -> None:
    """One member invites a few; then it waits, and the others go on inviting."""
    bench = Bench()
    names = [EnterpriseId(f"applicant-{index}") for index in range(INVITATIONS_MAX + 1)]
    for name in names[:-1]:
        bench.ask(invite(newcomer=name))
    assert bench.refusal(invite(newcomer=names[-1])) == "enrolment.invitations.full"
    assert bench.ask(invite(newcomer=names[0])) == Accepted()
    assert bench.ask(invite(SECOND, newcomer=names[-1])) == Accepted()
    assert (MEMBERS_MAX - 1) // 3 * INVITATIONS_MAX < APPLICATIONS_MAX


def test_no_member_takes_over_anothers_newcomer() -> None:
    """Its own invitation under the same name would let it apply in place of the newcomer."""
    bench = Bench().invited()
    assert bench.refusal(invite(SECOND)) == "enrolment.invitation.other"
    bench.now_ns += DAY_NS
    late = format_instant(bench.now_ns)
    again = invite(SECOND, at=late, expires=format_instant(bench.now_ns + DAY_NS))
    assert bench.ask(again) == Accepted()


def later_invitation(bench: Bench, days: int) -> None:
    """Let days pass until somebody invites somebody else, which is when the office tidies up."""
    bench.now_ns += days * DAY_NS
    late = format_instant(bench.now_ns)
    bench.ask(invite(SECOND, EnterpriseId("late"), at=late, expires=late))


def test_who_was_admitted_takes_no_place() -> None:
    """Its application and its approvals go; it may go on joining all the same."""
    bench = admitted()
    later_invitation(bench, 1)
    bench.restart()
    assert not bench.store.rows[APPLICATION_BUCKET]
    assert not bench.store.rows[APPROVAL_BUCKET]
    assert isinstance(bench.ask(AskProgress(secret=SECRET)), Progress)


def test_who_was_never_approved_is_forgotten() -> None:
    """A week after it could last apply; until then it may be approved."""
    bench = Bench().applied()
    bench.ask(approve(FIRST))
    later_invitation(bench, 2)
    assert bench.store.rows[APPLICATION_BUCKET].keys() == {NEWCOMER}
    assert f"{FIRST}/{NEWCOMER}" in bench.store.rows[ACTIVATION_BUCKET]
    later_invitation(bench, 7)
    assert not bench.store.rows[ACTIVATION_BUCKET]
    assert not bench.store.rows[APPLICATION_BUCKET]
    assert not bench.store.rows[APPROVAL_BUCKET]
    assert bench.store.rows[INVITATION_BUCKET].keys() == {"late"}


def test_a_full_list_of_who_waits_fits_a_message() -> None:
    """As many as may wait, each approved by as many members as there may be."""
    longest = EnterpriseId("n" * 63)
    card = Envelope(
        payload=bytes(2048), payload_type="t" * 128, signatures=secrets().card().signatures
    )
    waiting = (Applied(card=card, approved=(longest,) * MEMBERS_MAX),) * APPLICATIONS_MAX
    release = ReleaseWaiting(
        release="9" * 64, measurement=MEASUREMENT, approved=(longest,) * MEMBERS_MAX
    )
    releases = (release,) * MEMBERS_MAX
    trust = Envelope(payload=bytes(256 << 10), payload_type="", signatures=())
    assert (
        len(encode_message(Applications(trust=trust, waiting=waiting, releases=releases)))
        < MESSAGE_BYTES_MAX
    )
