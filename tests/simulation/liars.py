"""Partners who lie: each lie changes what leaves one node, as its dishonest owner would."""

from collections.abc import Callable

import msgspec

from mutualedge.meter import UsageRecord
from mutualedge.model import InvocationId, LeaseId
from mutualedge.protocol import (
    AddCheckpoint,
    Answer,
    Ask,
    AskVoucher,
    Breach,
    CallDone,
    Output,
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
from tests.simulation.schedule import Schedule

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


def _answers(output: Output, kind: type) -> bool:
    return isinstance(output, Answer) and isinstance(output.reply, kind)


def _ask_instead(output: Ask, request: AskVoucher | AddCheckpoint) -> Ask:
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
}


def tell(lie: str, liar: Process, founded: Founded, schedule: Schedule) -> None:
    """Make a process lie from now on."""
    told = LIES[lie]
    liar.tamper = lambda output: told(output, liar, founded, schedule)
