"""The status of a consortium as text: a table of 80 columns, or one fact per line."""

from collections.abc import Iterator

from mutualedge.app.operation.queries import Child, ConsortiumView, ProcessState, ProcessView
from mutualedge.app.plain_text import printable
from mutualedge.app.status import DAYS_LOW, NS_PER_DAY, ProcessStatus
from mutualedge.consortium import HubSnapshot
from mutualedge.model import NS_PER_MS, NS_PER_S, parse_instant
from mutualedge.node import NodeSnapshot

COLUMNS = (
    ("process", 12),
    ("state", 9),
    ("up", 8),
    ("readings", 9),
    ("partner", 9),
    ("served", 8),
    ("refused", 8),
    ("mileage", 12),
)
"""Heading and width; together 75, which leaves an 80-column terminal its margin."""

LEASE_CHARACTERS = 8
"""Of a lease's identity: enough to find it in the events."""

MICROCREDITS_PER_CREDIT = 1_000_000
BEST_EFFORT = "best-effort"
MISSING, NONE = "missing", "none"
"""Field of the runner's start that names absent walls, and its word for no wall at all."""

RENEW = "run 'mutualedge renew', then start it again"


def status_table(view: ConsortiumView, now_ns: int) -> str:
    """Return one line per process and below what wants attention."""
    lines = [f"Consortium in {view.folder}", supervisor_line(view), ""]
    lines.append(_row([heading for heading, _ in COLUMNS]))
    lines += [_row(_cells(process, now_ns)) for process in view.processes]
    attention = [line for process in view.processes for line in concerns(process)]
    if attention:
        lines += ["", "Look at:", *(f"  {line}" for line in attention)]
    return "\n".join(map(printable, lines))


def supervisor_line(view: ConsortiumView) -> str:
    """Say whether somebody starts again what ends."""
    if view.supervisor is None:
        return "Supervisor: none; what ends stays ended ('mutualedge up' starts one)"
    return f"Supervisor: running, process {view.supervisor.pid}, since {view.supervisor.started}"


def _row(cells: list[str]) -> str:
    widths = (width for _, width in COLUMNS)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(process: ProcessView, now_ns: int) -> list[str]:
    said = process.said
    is_up = process.state in {ProcessState.RUNNING, ProcessState.STALE}
    up = duration_text(now_ns - parse_instant(said.started)) if said is not None and is_up else "-"
    node = said.node if said is not None and is_up else None
    counts = ["-"] * 5 if node is None else _node_cells(node)
    return [process.name[:11], process.state, up, *counts]


def _node_cells(node: NodeSnapshot) -> list[str]:
    read = node.readings
    numbers = (read.taken, read.offloaded, node.served, read.refused + read.failed)
    return [*map(str, numbers), credits_text(node.balance_microcredits)]


def concerns(process: ProcessView) -> Iterator[str]:
    """Yield what an operator should look at, each with what it means."""
    name, child, said = process.name, process.child, process.said
    if child is not None and child.is_given_up:
        yield f"{name}: not started again; correct this, then 'down' and 'up': {_words(child)}"
    elif not process.is_well and child is not None and child.last_words:
        yield f"{name}: {process.state}; it last ended so: {_words(child)}"
    elif process.state is ProcessState.STALE and said is None:
        yield f"{name}: it runs, but its status is not of this release; start it again"
    elif process.state is ProcessState.STALE:
        yield f"{name}: it runs and has said nothing for {(process.age_ms or 0) // 1000} s"
    if process.is_well and said is not None and said.node is not None:
        yield from _node_concerns(name, said.node)
        yield from _expiry_concerns(name, said)
        missing = said.runner.get(MISSING, NONE)
        if missing != NONE:
            yield f"{name}: less stands between a partner's work and this machine: {missing}"


def _words(child: Child) -> str:
    return child.last_words.removeprefix("mutualedge: ")


def _node_concerns(name: str, node: NodeSnapshot) -> Iterator[str]:
    if not node.is_runner_ready:
        yield f"{name}: no runner has loaded the function; readings are refused"
    elif node.timing == BEST_EFFORT:
        yield f"{name}: timing is best-effort; 'guaranteed' readings are refused"
    if not node.is_member:
        yield f"{name}: has left '{node.consortium}' and serves its own devices only"
    elif node.hub_since is None:
        yield f"{name}: the hub does not answer; {node.queues.outbox} commands wait, work goes on"


def _expiry_concerns(name: str, said: ProcessStatus) -> Iterator[str]:
    """Yield whether credentials expired or soon will; a running process says so each 5 s."""
    if said.credentials_end is None:
        return
    ends_ns, now_ns = parse_instant(said.credentials_end), parse_instant(said.written)
    if ends_ns < now_ns:
        yield f"{name}: credentials expired at {said.credentials_end}; {RENEW}"
    elif ends_ns < now_ns + DAYS_LOW * NS_PER_DAY:
        yield f"{name}: credentials expire at {said.credentials_end}; {RENEW}"


def status_facts(view: ConsortiumView, now_ns: int) -> str:
    """Return one fact per line, each complete in itself, for screen readers and for grep."""
    lines = [f"folder: {view.folder}", supervisor_line(view)]
    for process in view.processes:
        facts = _process_facts(process, now_ns)
        lines += [f"{process.name}: {name}: {told}" for name, told in facts]
        lines += [f"look at: {line}" for line in concerns(process)]
    return "\n".join(map(printable, lines))


def _process_facts(process: ProcessView, now_ns: int) -> Iterator[tuple[str, str]]:
    yield "state", process.state
    said = process.said
    if process.child is not None:
        yield "starts", str(process.child.starts)
    if said is None or process.state in {ProcessState.STOPPED, ProcessState.KILLED}:
        return
    yield "process", str(said.pid)
    yield "version", said.version
    yield "up", duration_text(now_ns - parse_instant(said.started))
    yield "event loop late", f"{said.loop_lag_us} us"
    if said.hub is not None:
        yield from _hub_facts(said.hub, now_ns)
    if said.node is not None:
        yield "devices connect to", said.client_url
        yield from _node_facts(said.node, now_ns)
    if said.answers is not None:
        yield "answers, median", f"{said.answers.p50_us} us"
        yield "answers, 99th percentile", f"{said.answers.p99_us} us"
    for name, told in said.runner.items():
        yield f"runner {name}", str(told)


def _hub_facts(hub: HubSnapshot, now_ns: int) -> Iterator[tuple[str, str]]:
    yield "consortium", hub.consortium
    yield "trust file version", str(hub.trust_version)
    yield "assurance", hub.assurance
    yield "ledger height", f"{hub.ledger_height}, final to {hub.final_height}"
    yield "commands", f"done {hub.commands_done}, refused {hub.commands_refused}"
    for member in hub.members:
        heard = "not heard" if member.heard is None else f"heard {ago(member.heard, now_ns)}"
        mileage = credits_text(member.balance_microcredits)
        yield f"member {member.enterprise}", f"{heard}, mileage {mileage}, log {member.log_size}"


def _node_facts(node: NodeSnapshot, now_ns: int) -> Iterator[tuple[str, str]]:
    read, queues = node.readings, node.queues
    yield "consortium", node.consortium
    yield "trust file version", str(node.trust_version)
    yield "assurance", node.assurance
    yield "timing", node.timing
    yield "runner", "ready" if node.is_runner_ready else "not ready"
    yield "readings taken", str(read.taken)
    yield "scored here", str(read.local)
    yield "scored at a partner", str(read.offloaded)
    yield "served for partners", str(node.served)
    yield "answered late", str(read.late)
    for code, count in sorted(read.by_code.items()):
        yield f"refused {code}", str(count)
    yield "waiting", f"jobs {queues.jobs}, errands {queues.errands}, asks {queues.asks}"
    yield "outbox", str(queues.outbox)
    yield "mileage", credits_text(node.balance_microcredits)
    yield from _lease_facts(node)
    yield from _trust_facts(node, now_ns)


def _lease_facts(node: NodeSnapshot) -> Iterator[tuple[str, str]]:
    for line in node.credit:
        used = f"{credits_text(line.owed_microcredits)} owed"
        limit = f"{used} of {credits_text(line.limit_microcredits)}"
        yield f"credit {line.creditor} gives {line.debtor}", limit
    for lease in node.leases:
        told = f"{lease.role}, partner {lease.partner}, {lease.state}, ends {lease.ends}"
        unsigned = credits_text(lease.unsigned_microcredits)
        calls = f"calls {lease.calls}, {lease.unsigned_calls} unsigned ({unsigned})"
        yield f"lease {lease.lease[:LEASE_CHARACTERS]}", f"{told}, {calls}"


def _trust_facts(node: NodeSnapshot, now_ns: int) -> Iterator[tuple[str, str]]:
    yield "ledger height", f"{node.ledger_height}, final to {node.final_height}"
    hub = "does not answer" if node.hub_since is None else f"answers since {node.hub_since}"
    yield "hub", hub
    checkpoint = node.checkpoint
    signed = "" if checkpoint.at is None else f", signed {ago(checkpoint.at, now_ns)}"
    yield "log", f"{node.log_size} entries, checkpoint over {checkpoint.size}{signed}"
    for each in checkpoint.cosignatures:
        yield f"cosigned by {each.witness}", ago(each.at, now_ns)


def credits_text(microcredits: int) -> str:
    """Return an amount in credits, exact."""
    whole, rest = divmod(abs(microcredits), MICROCREDITS_PER_CREDIT)
    sign = "-" if microcredits < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def duration_text(duration_ns: int) -> str:
    """Return a duration in its two largest units."""
    seconds = max(0, duration_ns // NS_PER_S)
    for unit, below, length in (("d", "h", 86_400), ("h", "m", 3_600), ("m", "s", 60)):
        if seconds >= length:
            small = {"h": 3_600, "m": 60, "s": 1}[below]
            return f"{seconds // length}{unit}{seconds % length // small:02d}{below}"
    return f"{seconds}s"


def ago(instant: str, now_ns: int) -> str:
    """Return how long an instant is past."""
    age_ns = now_ns - parse_instant(instant)
    return "just now" if age_ns < 1_000 * NS_PER_MS else f"{duration_text(age_ns)} ago"
