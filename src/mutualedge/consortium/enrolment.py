"""Who joins: invitations, applications and approvals, until the ledger adopts a trust file.

The office decides nothing. It keeps what members signed until more than two thirds of them did;
then anyone of them has the ledger adopt it.
"""

from collections.abc import Callable
from typing import assert_never

from mutualedge.consortium.approvals import Approvals
from mutualedge.consortium.documents import (
    Candidate,
    candidate_of,
    card_in,
    envelope_in,
    verified_order,
    verify_approves,
    verify_fresh,
)
from mutualedge.consortium.invitations import INVITATION_NS_MAX, Invitations
from mutualedge.errors import PeerError, RefusedByPolicy
from mutualedge.identity import (
    MEASUREMENTS_MAX,
    Consortium,
    Member,
    TrustFile,
    supermajority,
    with_measurement,
)
from mutualedge.model import NS_PER_S, Digest, EnterpriseId, parse_instant
from mutualedge.protocol import (
    APPLICATIONS_MAX,
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
    Credentials,
    Invite,
    InviteOrder,
    ListOrder,
    Progress,
    ReleaseAccepted,
    ReleaseWaiting,
    Renew,
    Renewed,
    RenewOrder,
    StoreView,
    Write,
)
from mutualedge.protocol.enrolment import EnrolmentReply
from mutualedge.signing import (
    Envelope,
    canonical_bytes,
    parse_canonical,
    verify_record,
)

RELEASES = "release:"
"""Subject of every approval of a release: of each member the last one counts. No enterprise is
called like this."""

APPLICATION_BUCKET = "application"
ACTIVATION_BUCKET = "activation"

PRESENT_NS = 60 * NS_PER_S
"""A newcomer that waits asks each second how far it is; one that is silent for so long is gone."""

NewcomerRequest = AskConsortium | Apply | AskProgress
MemberRequest = Invite | AskApplications | Approve | Renew
DeskRequest = NewcomerRequest | MemberRequest


Issue = Callable[[Member, str, Digest, int], Credentials]
"""Makes certificate and machine for a member, from the public key it wants certified and what its
runner is measured as, now."""

VerifyDoor = Callable[[str, str, str, int], None]
"""Returns if a token is one account's leave for another to call it, now; raises otherwise."""


class Enrolment:
    """Keeps who was invited, who applied and who approved; answers what is asked about it."""

    def __init__(
        self,
        *,
        issue: Issue,
        verify_door: VerifyDoor,
        release: str,
        founding: Envelope,
        store: StoreView,
    ) -> None:
        """Restore what was kept.

        Args:
            issue: Makes what a newcomer needs.
            verify_door: Checks what opens a door on the bus.
            release: Version of the software that the consortium runs.
            founding: The founding trust file.
            store: Rows written so far.
        """
        self._issue = issue
        self._verify_door = verify_door
        self._release = release
        self._founding = founding
        self._applied = dict(store.scan(APPLICATION_BUCKET))
        self._invitations = Invitations(store)
        self._approvals = Approvals(store)
        self._heard_ns: dict[EnterpriseId, int] = {}
        self._begun_ns = 0
        self._writes: list[Write] = []

    def begin(self, now_ns: int) -> None:
        """Hear that the hub begins now: who waits has not asked it yet."""
        self._begun_ns = now_ns

    def answer(
        self, request: DeskRequest, consortium: Consortium, now_ns: int
    ) -> EnrolmentReply | Accepted:
        """Return the answer to a question about who joins.

        Raises:
            MutualEdgeError: As the method for that question says.
        """
        if isinstance(request, NewcomerRequest):
            return self._answer_newcomer(request, consortium, now_ns)
        return self._answer_member(request, consortium, now_ns)

    def _answer_newcomer(
        self, request: NewcomerRequest, consortium: Consortium, now_ns: int
    ) -> EnrolmentReply:
        match request:
            case AskConsortium():
                return self.show(request, consortium, now_ns)
            case Apply():
                return self.apply(request, consortium, now_ns)
            case AskProgress():
                return self.progress(request, consortium, now_ns)
            case _:
                assert_never(request)

    def _answer_member(
        self, request: MemberRequest, consortium: Consortium, now_ns: int
    ) -> EnrolmentReply | Accepted:
        match request:
            case Invite():
                return self.invite(request, consortium, now_ns)
            case AskApplications():
                return self.waiting(request, consortium, now_ns)
            case Approve():
                return self.approve(request, consortium, now_ns)
            case Renew():
                return self.renew(request, consortium, now_ns)
            case _:
                assert_never(request)

    def take_writes(self) -> list[Write]:
        """Return the rows that answers since the last call depend on."""
        writes, self._writes = self._writes, []
        return writes

    def invite(self, request: Invite, consortium: Consortium, now_ns: int) -> Accepted:
        """Let the holder of a secret apply.

        Raises:
            PeerError: No member ordered it, or long ago.
            RefusedByPolicy: It would be good for too long, is for a member or for whom another
                member invited, or its member has invited too many.
        """
        order = verified_order(request.order, InviteOrder, consortium, now_ns)
        self._forget_stale(consortium, now_ns)
        self._invitations.check(order, consortium, now_ns)
        self._writes.append(self._invitations.put(order, request.order))
        return Accepted()

    def _forget_stale(self, consortium: Consortium, now_ns: int) -> None:
        """Drop applications that came to an end, and invitations that expired.

        Who applied may be approved for a week longer than it could apply.
        """
        for newcomer, order in self._invitations:
            is_member = consortium.has(newcomer)
            has_applied = newcomer in self._applied
            ends_ns = parse_instant(order.expires) + (INVITATION_NS_MAX if has_applied else 0)
            if is_member or ends_ns <= now_ns:
                self._drop(newcomer)
                self._writes.extend(self._approvals.forget(str(newcomer)))
            if ends_ns <= now_ns and not is_member:
                self._close(newcomer, consortium)
                self._writes.append(self._invitations.drop(newcomer))

    def show(self, request: AskConsortium, consortium: Consortium, now_ns: int) -> ConsortiumShown:
        """Return whom the holder of a secret would join.

        Raises:
            RefusedByPolicy: No invitation has this secret, or it has expired.
        """
        self._invitations.invited(request.secret, consortium, now_ns)
        return ConsortiumShown(founding=self._founding, trust=consortium.envelope)

    def apply(self, request: Apply, consortium: Consortium, now_ns: int) -> Progress:
        """Keep an application; the same one again changes nothing, another one replaces it.

        Who is a member by now is told so: it was interrupted, and goes on.

        Raises:
            PeerError: Not signed by the card's own enterprise key, or a key that others have.
            RefusedByPolicy: Not invited, another release, or too many wait.
        """
        newcomer = self._invitations.invited(request.secret, consortium, now_ns)
        self._heard_ns[newcomer] = now_ns
        if consortium.has(newcomer):
            return self._progress(newcomer, consortium)
        candidate = candidate_of(request.application, consortium)
        if candidate.member.enterprise != newcomer:
            sentence = f"The invitation is for '{newcomer}'; apply under that name."
            raise RefusedByPolicy("enrolment.newcomer.other", sentence)
        self._check_release(candidate.application, consortium.trust)
        self._check_doors(candidate, consortium, now_ns)
        kept = self._applied
        if newcomer not in kept and len(kept) >= APPLICATIONS_MAX:
            sentence = f"{APPLICATIONS_MAX} applications wait already; approve or replace some."
            raise RefusedByPolicy("enrolment.applications.full", sentence)
        self._keep(newcomer, request.application)
        return self._progress(newcomer, consortium)

    def progress(self, request: AskProgress, consortium: Consortium, now_ns: int) -> Progress:
        """Return how far an application is.

        Raises:
            RefusedByPolicy: Not invited, or nothing was applied for.
        """
        newcomer = self._invitations.invited(request.secret, consortium, now_ns)
        self._heard_ns[newcomer] = now_ns
        return self._progress(newcomer, consortium)

    def verify_reader(
        self, request: AskLedger, consortium: Consortium, now_ns: int
    ) -> EnterpriseId:
        """Return who asks: a member, or one that was and needs the block that let it go.

        Raises:
            PeerError: It never was one, or asked long ago.
        """
        claimed = parse_canonical(request.order.payload, ListOrder)
        key = consortium.card(claimed.enterprise).settlement_key
        verify_fresh(verify_record(request.order, ListOrder, key), now_ns)
        return claimed.enterprise

    def waiting(
        self, request: AskApplications, consortium: Consortium, now_ns: int
    ) -> Applications:
        """Return who and what waits for approval.

        Raises:
            PeerError: No member asks.
        """
        verified_order(request.order, ListOrder, consortium, now_ns)
        waiting = tuple(
            Applied(card=card_in(raw), approved=self._approvers(name, consortium))
            for name, raw in self._applications()
            if not consortium.has(name)
        )
        releases = self._releases(consortium)
        return Applications(trust=consortium.envelope, waiting=waiting, releases=releases)

    def _releases(self, consortium: Consortium) -> tuple[ReleaseWaiting, ...]:
        """Return each release that somebody approved for the version after the present one."""
        known = consortium.trust.runner_measurements
        if len(known) >= MEASUREMENTS_MAX:
            return ()
        asked = {
            change.measurement: change
            for order in self._approvals.orders(RELEASES, consortium).values()
            if isinstance(change := order.change, ReleaseAccepted)
            and change.measurement not in known
        }
        waiting = []
        for measurement in sorted(asked):
            trust = with_measurement(consortium, measurement)
            approved = self._approvals.approvers(RELEASES, trust, consortium)
            if approved:
                release = asked[measurement].release
                waiting.append(
                    ReleaseWaiting(release=release, measurement=measurement, approved=approved)
                )
        return tuple(waiting)

    def approve(self, request: Approve, consortium: Consortium, now_ns: int) -> Approved:
        """Keep a member's approval; once enough approve, return the trust file they all signed.

        Raises:
            PeerError: Not that member's signatures, or over another trust file.
            RefusedByPolicy: Nobody of this name waits, or not any more when it would be let in.
            UsageError: The release is accepted already.
        """
        order = verified_order(request.order, ApprovalOrder, consortium, now_ns)
        match order.change:
            case Admission(newcomer=newcomer) as admission:
                candidate = self._waiting(newcomer, consortium)
                subject, wanted = str(newcomer), candidate.trust
                verify_approves(order, wanted, consortium)
                self._verify_present(newcomer, order.enterprise, consortium, now_ns)
                self._open_doors(order.enterprise, admission, candidate, consortium, now_ns)
            case ReleaseAccepted(measurement=measurement):
                subject, wanted = RELEASES, with_measurement(consortium, measurement)
                verify_approves(order, wanted, consortium)
            case _:
                assert_never(order.change)
        self._writes.append(self._approvals.put(subject, order.enterprise, request.order))
        return self._approvals.counted(subject, wanted, consortium)

    def _verify_present(
        self,
        newcomer: EnterpriseId,
        approver: EnterpriseId,
        consortium: Consortium,
        now_ns: int,
    ) -> None:
        """Let in only who is there: among two or three members each is needed for every block.

        Whom a hub that starts again has not heard of yet had no time to ask.
        """
        approvers = {*self._approvers(newcomer, consortium), approver}
        heard_ns = self._heard_ns.get(newcomer, self._begun_ns)
        is_last = len(approvers) >= supermajority(len(consortium.members))
        if is_last and now_ns > heard_ns + PRESENT_NS:
            sentence = (
                f"'{newcomer}' does not wait any more. Have it say `mutualedge join` again, which "
                "goes on where it was, and approve while that runs."
            )
            raise RefusedByPolicy("enrolment.newcomer.away", sentence)

    def _open_doors(
        self,
        approver: EnterpriseId,
        admission: Admission,
        candidate: Candidate,
        consortium: Consortium,
        now_ns: int,
    ) -> None:
        """Keep the approver's leave for the newcomer to call it, and the newcomer's for all."""
        account, token = consortium.member(approver).account, admission.activation
        self._verify_door(token, account, candidate.member.account, now_ns)
        self._open(approver, admission.newcomer, token)
        for importer, other in candidate.application.activations.items():
            self._open(admission.newcomer, importer, other)

    def renew(self, request: Renew, consortium: Consortium, now_ns: int) -> Renewed:
        """Return a member's credentials anew, and keep its leaves to be called.

        Raises:
            PeerError: No member asks, or a leave is not what it must be.
            RefusedByPolicy: Its runner is none that the members accept.
            UsageError: The key cannot be certified.
        """
        order = verified_order(request.order, RenewOrder, consortium, now_ns)
        if order.measurement not in consortium.trust.runner_measurements:
            sentence = (
                f"Your runner measures {order.measurement}, the trust file accepts "
                f"{' or '.join(consortium.trust.runner_measurements)}; have the members approve "
                "it first: mutualedge approve FOLDER --release."
            )
            raise RefusedByPolicy("enrolment.release.unknown", sentence)
        member, doors = consortium.member(order.enterprise), consortium.accounts
        for importer, token in order.activations.items():
            if importer not in doors:
                sentence = f"'{importer}' is no member; its door needs no renewal."
                raise PeerError("enrolment.door.unknown", sentence)
            self._verify_door(token, member.account, doors[importer], now_ns)
        for importer, token in order.activations.items():
            self._open(order.enterprise, importer, token)
        issued = self._issue(member, order.tls_public_key_pem, order.measurement, now_ns)
        return Renewed(credentials=issued)

    def _progress(self, newcomer: EnterpriseId, consortium: Consortium) -> Progress:
        is_admitted = consortium.has(newcomer)
        if not is_admitted:
            self._application(newcomer)
        return Progress(
            approved=() if is_admitted else self._approvers(newcomer, consortium),
            needed=supermajority(len(consortium.members)),
            is_admitted=is_admitted,
        )

    def _check_release(self, application: Application, trust: TrustFile) -> None:
        if application.measurement not in trust.runner_measurements:
            sentence = (
                f"You run release {application.release}, whose runner this consortium does not "
                f"trust; its own is {self._release}. Install that one, or have it trust yours."
            )
            raise RefusedByPolicy("enrolment.release.mismatch", sentence)

    def _check_doors(self, candidate: Candidate, consortium: Consortium, now_ns: int) -> None:
        """Refuse an application that does not open its door to all it would work with, only."""
        account = candidate.member.account
        doors = consortium.accounts
        other = doors.keys() ^ candidate.application.activations.keys()
        if other:
            sentence = (
                f"The application opens no door to '{min(other)}', or one to nobody; apply again."
            )
            raise PeerError("enrolment.application.door", sentence)
        for importer, token in candidate.application.activations.items():
            self._verify_door(token, account, doors[importer], now_ns)

    def _waiting(self, newcomer: EnterpriseId, consortium: Consortium) -> Candidate:
        raw = self._applied.get(newcomer)
        if raw is None or consortium.has(newcomer):
            sentence = f"Nobody called '{newcomer}' waits for approval; list who does."
            raise RefusedByPolicy("enrolment.application.unknown", sentence)
        return candidate_of(envelope_in(raw), consortium)

    def _applications(self) -> list[tuple[EnterpriseId, bytes]]:
        rows = self._applied
        return [(EnterpriseId(name), rows[name]) for name in sorted(rows)]

    def _application(self, newcomer: EnterpriseId) -> Application:
        raw = self._applied.get(newcomer)
        if raw is None:
            sentence = f"'{newcomer}' has not applied yet; send its application first."
            raise RefusedByPolicy("enrolment.application.missing", sentence)
        return parse_canonical(envelope_in(raw).payload, Application)

    def _approvers(
        self, newcomer: EnterpriseId, consortium: Consortium
    ) -> tuple[EnterpriseId, ...]:
        """Return who approved just this application, for the version after the present one."""
        wanted = self._waiting(newcomer, consortium).trust
        return self._approvals.approvers(newcomer, wanted, consortium)

    def _keep(self, newcomer: EnterpriseId, application: Envelope) -> None:
        self._applied[newcomer] = raw = canonical_bytes(application)
        self._writes.append(Write(bucket=APPLICATION_BUCKET, key=newcomer, value=raw))

    def _drop(self, newcomer: EnterpriseId) -> None:
        if self._applied.pop(newcomer, None) is not None:
            self._writes.append(Write(bucket=APPLICATION_BUCKET, key=newcomer, value=None))

    def _close(self, newcomer: EnterpriseId, consortium: Consortium) -> None:
        """Let go of the leaves to call, and to be called by, somebody who never became a member."""
        for other in consortium.accounts:
            for key in (f"{other}/{newcomer}", f"{newcomer}/{other}"):
                self._writes.append(Write(bucket=ACTIVATION_BUCKET, key=key, value=None))

    def _open(self, exporter: str, importer: str, token: str) -> None:
        key = f"{exporter}/{importer}"
        self._writes.append(Write(bucket=ACTIVATION_BUCKET, key=key, value=token.encode()))
