"""Partners who lie: each lie changes what leaves one node, as its dishonest owner would."""

import base64
from collections.abc import Callable

import msgspec

from mutualedge.consortium import Hub
from mutualedge.errors import RefusedByPolicy
from mutualedge.ledger import Action, OpenLease
from mutualedge.market import Agreement, Offer, commitment_of
from mutualedge.meter import UsageRecord
from mutualedge.model import NS_PER_S, InvocationId, LeaseId, Microcredits
from mutualedge.node import Node
from mutualedge.node.leases import HeldLease
from mutualedge.protocol import (
    AddCheckpoint,
    Answer,
    Ask,
    AskVoucher,
    Breach,
    CallDone,
    CheckpointCosigned,
    Execute,
    LeaseSigned,
    OfferMade,
    Order,
    Output,
    ProposeLease,
    Refused,
    StatementSigned,
    VoucherSigned,
)
from mutualedge.signing import canonical_bytes, parse_canonical, sign_record
from mutualedge.tlog import (
    Checkpoint,
    NoteSigner,
    add_checkpoint_body,
    parse_add_checkpoint,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from tests.simulation.founding import Founded, keys_of
from tests.simulation.processes import Process
from tests.simulation.schedule import HOUR_NS, Schedule

Lie = Callable[[Output, Process, Founded, Schedule], Output | None]


def _sell_capacity_twice(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Refuse every second call inside a lease, because somebody else got its slot."""
    if not _answers(output, CallDone) or schedule.random.random() < 0.5:
        return output
    assert isinstance(output, Answer)
    schedule.counts.add("lied")
    breach = Breach(lease=LeaseId("0" * 64), invocation=InvocationId("0" * 32), code="sold.twice")
    refused = Refused(
        code="node.runner.absent",
        sentence="No room.",
        breach=sign_record(breach, keys_of(liar.name).node),
    )
    return Answer(ask_id=output.ask_id, reply=refused)


def _withhold_voucher(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    return _refuse_instead(output, VoucherSigned, schedule)


def _refuse_statement(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    return _refuse_instead(output, StatementSigned, schedule)


def _refuse_instead(output: Output, kind: type, schedule: Schedule) -> Output:
    if not (isinstance(output, Answer) and isinstance(output.reply, kind)):
        return output
    schedule.counts.add("lied")
    refused = Refused(code="liar.will-not", sentence="No.")
    return Answer(ask_id=output.ask_id, reply=refused)


def _withhold_reply(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Execute and charge, but keep the result."""
    if _answers(output, CallDone):
        schedule.counts.add("lied")
        return None
    if isinstance(output, Ask) and isinstance(output.request, AskVoucher):
        bare = msgspec.structs.replace(output.request, replies=())
        return _ask_instead(output, bare)
    return output


def _inflate_record(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Ask to be paid double for the last record."""
    if not (isinstance(output, Ask) and isinstance(output.request, AskVoucher)):
        return output
    schedule.counts.add("lied")
    request = output.request
    usage = parse_canonical(request.records[-1], UsageRecord)
    dear = msgspec.structs.replace(
        usage, amount_microcredits=2 * usage.amount_microcredits, rs_ms=2 * usage.rs_ms
    )
    inflated = msgspec.structs.replace(
        request,
        records=(*request.records[:-1], canonical_bytes(dear)),
        total_microcredits=request.total_microcredits + usage.amount_microcredits,
    )
    return _ask_instead(output, inflated)


def _fork_log(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Show the hub another log of the same size than the partners."""
    if not (isinstance(output, Ask) and isinstance(output.request, AddCheckpoint)):
        return output
    if output.peer != "hub":
        return output
    schedule.counts.add("lied")
    request = parse_add_checkpoint(output.request.body)
    told = parse_checkpoint(parse_note(request.note).text)
    forked = Checkpoint(origin=told.origin, size=told.size, root=bytes(32))
    signer = NoteSigner(name=told.origin, key=keys_of(liar.name).log)
    body = add_checkpoint_body(request.old_size, request.proof, sign_checkpoint(forked, signer))
    return _ask_instead(output, AddCheckpoint(body=body))


def _raise_price(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Sign the lease at twice the price that was offered."""
    if not (isinstance(output, Answer) and isinstance(output.reply, LeaseSigned)):
        return output
    schedule.counts.add("lied")
    signed = output.reply.agreement
    terms = parse_canonical(signed.payload, Agreement)
    price = Microcredits(2 * terms.price_microcredits)
    dear = msgspec.structs.replace(terms, price_microcredits=price)
    forged = sign_record(dear, keys_of(liar.name).settlement)
    signatures = (*signed.signatures[:1], *forged.signatures)
    both = msgspec.structs.replace(forged, signatures=signatures)
    reply = msgspec.structs.replace(output.reply, agreement=both)
    return Answer(ask_id=output.ask_id, reply=reply)


def _inflate_offer(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Offer longer deadlines or budgets than were asked for, another price, or what cannot be."""
    if not (isinstance(output, Answer) and isinstance(output.reply, OfferMade)):
        return output
    schedule.counts.add("lied")
    offer = parse_canonical(output.reply.offer.payload, Offer)
    inflations: tuple[dict[str, int], ...] = (
        {"deadline_ns": 30 * NS_PER_S},
        {"deadline_ns": 400 * 24 * HOUR_NS},
        {"budget_ns": 20 * offer.budget_ns, "period_ns": 20 * offer.period_ns},
        {"price_microcredits": 1000 * offer.price_microcredits},
        {"period_ns": 1},
    )
    inflated = msgspec.structs.replace(offer, **schedule.random.choice(inflations))
    envelope = sign_record(inflated, keys_of(liar.name).node)
    return Answer(ask_id=output.ask_id, reply=OfferMade(offer=envelope))


def _choose_windows(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Propose leases under which the provider could neither collect nor claim in time."""
    if not (isinstance(output, Ask) and isinstance(output.request, ProposeLease)):
        return output
    schedule.counts.add("lied")
    terms = parse_canonical(output.request.agreement.payload, Agreement)
    choices: tuple[dict[str, int], ...] = (
        {"dispute_window_ms": 1},
        {"window_calls": 8},
        {"window_ms": 24 * 3600_000},
        {"window_ms": 1},
        {"price_microcredits": 1},
        {"deadline_ns": 1},
    )
    sly = msgspec.structs.replace(terms, **schedule.random.choice(choices))
    settlement = keys_of(liar.name).settlement
    agreement = sign_record(sly, settlement)
    commitment = sign_record(commitment_of(LeaseId(agreement.payload_digest), sly), settlement)
    return _ask_instead(output, ProposeLease(agreement=agreement, commitment=commitment))


def _charge_twice(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Charge every run, and pretend to have forgotten sessions, so that calls come again."""
    if isinstance(output, Order) and isinstance(output.order, Execute):
        dear = msgspec.structs.replace(output.order, billable=True)
        return Order(order=dear, life=output.life)
    if _answers(output, CallDone) and schedule.random.random() < 0.5:
        assert isinstance(output, Answer)
        schedule.counts.add("lied")
        refused = Refused(code="session.unknown", sentence="Which session?")
        return Answer(ask_id=output.ask_id, reply=refused)
    return output


def _claim_unasked(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Never show a record before the claim, and hide second charges among calls that got lost.

    Calls it has refused by the runner look lost to their requester and cost nothing; those whose
    replies it keeps come again in a new session, where it charges them once more.
    """
    if isinstance(output, Order) and isinstance(output.order, Execute):
        order = msgspec.structs.replace(output.order, billable=True)
        if schedule.random.random() < 0.4:
            order = msgspec.structs.replace(order, record=b"lost" + order.record)
        return Order(order=order, life=output.life)
    if isinstance(output, Ask) and isinstance(output.request, AskVoucher):
        schedule.counts.add("lied")
        return _ask_instead(output, msgspec.structs.replace(output.request, meter_key=bytes(32)))
    if _answers(output, CallDone) and schedule.random.random() < 0.4:
        assert isinstance(output, Answer)
        refused = Refused(code="session.unknown", sentence="Which session?")
        return Answer(ask_id=output.ask_id, reply=refused)
    return output


def _replay_call(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Hand the runner a sealed call it ran before, to have it charged again."""
    if not (isinstance(output, Order) and isinstance(output.order, Execute)):
        return output
    order = output.order
    first = liar.remembered.setdefault(f"{liar.life} {output.life} {order.session}", order)
    if first is order:
        return output
    assert isinstance(first, Execute)
    schedule.counts.add("lied")
    again = msgspec.structs.replace(first, job=order.job, billable=True)
    return Order(order=again, life=output.life)


def _poison_cosignature(
    output: Output, _liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Return a cosignature that does not verify, to spoil the note it is added to."""
    if not (isinstance(output, Answer) and isinstance(output.reply, CheckpointCosigned)):
        return output
    schedule.counts.add("lied")
    head, material = output.reply.line.rstrip("\n").rsplit(" ", 1)
    raw = base64.b64decode(material)
    spoiled = base64.b64encode(raw[:-1] + bytes([raw[-1] ^ 1])).decode()
    return Answer(ask_id=output.ask_id, reply=CheckpointCosigned(line=f"{head} {spoiled}\n"))


def _replay_signatures(
    output: Output, liar: Process, _founded: Founded, schedule: Schedule
) -> Output | None:
    """Answer with the first voucher or statement ever signed: another lease's, or a smaller sum."""
    if not (_answers(output, VoucherSigned) or _answers(output, StatementSigned)):
        return output
    assert isinstance(output, Answer)
    first = liar.remembered.setdefault(type(output.reply).__name__, output.reply)
    schedule.counts.add("lied", first != output.reply)
    assert isinstance(first, VoucherSigned | StatementSigned)
    return Answer(ask_id=output.ask_id, reply=first)


def _hoard(output: Output, _liar: Process, _founded: Founded, schedule: Schedule) -> Output | None:
    """Propose one lease after the other and open none: places that nobody else may have."""
    schedule.counts.add(
        "lied", isinstance(output, Ask) and isinstance(output.request, ProposeLease)
    )
    return output


def _answers(output: Output, kind: type) -> bool:
    return isinstance(output, Answer) and isinstance(output.reply, kind)


def _ask_instead(output: Ask, request: AskVoucher | AddCheckpoint | ProposeLease) -> Ask:
    return Ask(
        request_id=output.request_id,
        peer=output.peer,
        request=request,
        timeout_ns=output.timeout_ns,
    )


LIES: dict[str, Lie] = {
    "capacity sold twice": _sell_capacity_twice,
    "voucher withheld": _withhold_voucher,
    "reply withheld": _withhold_reply,
    "record inflated": _inflate_record,
    "log forked": _fork_log,
    "statement refused": _refuse_statement,
    "price raised": _raise_price,
    "offer inflated": _inflate_offer,
    "windows chosen": _choose_windows,
    "charged twice": _charge_twice,
    "claimed unasked": _claim_unasked,
    "call replayed": _replay_call,
    "cosignature poisoned": _poison_cosignature,
    "signatures replayed": _replay_signatures,
    "leases hoarded": _hoard,
}


def _ignore_age(core: Node | Hub) -> None:
    """Run calls however old the unsigned ones are; beyond W in calls no claim is taken."""
    assert isinstance(core, Node)
    provider = core._provider

    def check_calls(lease: HeldLease) -> None:
        if lease.open_calls + provider._in_flight(lease) >= lease.terms.window_calls:
            raise RefusedByPolicy("meter.window.exceeded", "Enough to claim.")

    provider._check_window = check_calls  # type: ignore[method-assign]


def _open_nothing(core: Node | Hub) -> None:
    """Ask for a lease whenever there is time, and never tell the ledger of one."""
    assert isinstance(core, Node)
    submit = core._books.submit

    def submit_other(action: Action, occasion: str = "") -> InvocationId:
        return NEVER if isinstance(action, OpenLease) else submit(action, occasion)

    core._books.submit = submit_other  # type: ignore[method-assign]
    core._borrower._is_covered = lambda *_: False  # type: ignore[method-assign]


NEVER = InvocationId("f" * 32)
"""A command that nobody ever sent."""

BENT: dict[str, Callable[[Node | Hub], None]] = {
    "claimed unasked": _ignore_age,
    "leases hoarded": _open_nothing,
}
"""Lies that need another core, not only other words."""


def tell(lie: str, liar: Process, founded: Founded, schedule: Schedule) -> None:
    """Make a process lie from now on."""
    told = LIES[lie]
    liar.bend = BENT.get(lie, liar.bend)
    liar.tamper = lambda output: told(output, liar, founded, schedule)
