"""What the rehearsal came to, as one object for programs."""

import msgspec

from mutualedge.app.demo.cast import TRADES
from mutualedge.app.demo.script import Rehearsed
from mutualedge.app.demo.stock import Devices
from mutualedge.model import EnterpriseId


class EnterpriseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One enterprise.

    Attributes:
        invocations: Questions of its devices; local, offloaded, refused and unanswered together.
        offloaded: Computed by a partner.
        served: Records that partners' calls left in its log.
        unanswered: Nobody was there, or what was accepted came to nothing.
        deadline_misses: Answers after their deadline, and what is unanswered.
        balance_microcredits: Earned less spent.
    """

    invocations: int
    local: int
    offloaded: int
    served: int
    refused: int
    unanswered: int
    deadline_misses: int
    latency_ms_p50: float
    latency_ms_p99: float
    balance_microcredits: int


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One reading that was flagged; ``timestamp`` as its source writes it."""

    device: str
    timestamp: str
    score: float


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The auditor's verdict and how many usage records it is about."""

    status: str
    records: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything.

    Attributes:
        results: Batches of readings that were scored.
        anomalies: Readings that were flagged, of the files where there are any.
        attested_sessions: Sessions opened after their evidence was appraised.
        assurance: The weakest that evidence proved.
        timing: The weakest grade of the runners.
    """

    enterprises: dict[EnterpriseId, EnterpriseSummary]
    results: int
    anomalies: list[Anomaly]
    attested_sessions: int
    settled_microcredits: int
    ledger_sum_microcredits: int
    log_entries: int
    cosignatures: int
    audit: Audit
    assurance: str
    timing: str
    elapsed_s: float


def summarise(rehearsed: Rehearsed, devices: Devices, elapsed_s: float) -> Summary:
    """Return the rehearsal in numbers."""
    enterprises = {name: _enterprise(rehearsed, name) for name in TRADES}
    counts = rehearsed.report.counts
    return Summary(
        enterprises=enterprises,
        results=sum(each.local + each.offloaded for each in enterprises.values()),
        anomalies=anomalies_of(devices),
        attested_sessions=rehearsed.attested_sessions,
        settled_microcredits=counts.settled_microcredits,
        ledger_sum_microcredits=counts.ledger_sum_microcredits,
        log_entries=counts.entries,
        cosignatures=counts.cosignatures,
        audit=Audit(status=rehearsed.report.status, records=counts.records),
        assurance=rehearsed.assurance,
        timing=rehearsed.weakest_timing,
        elapsed_s=round(elapsed_s, 1),
    )


def _enterprise(rehearsed: Rehearsed, name: EnterpriseId) -> EnterpriseSummary:
    count = rehearsed.tally.count(name)
    return EnterpriseSummary(
        invocations=count.invocations,
        local=count.local,
        offloaded=count.offloaded,
        served=rehearsed.books.served[name],
        refused=count.refused,
        unanswered=count.unanswered,
        deadline_misses=count.deadline_misses,
        latency_ms_p50=round(count.latency_ms_p50, 1),
        latency_ms_p99=round(count.latency_ms_p99, 1),
        balance_microcredits=rehearsed.books.balances_microcredits.get(name, 0),
    )


def anomalies_of(devices: Devices) -> list[Anomaly]:
    """Return what was flagged: of the files, or of the synthetic devices if there are no files."""
    every = [device for own in devices.values() for device in own]
    told = [device for device in every if not device.is_synthetic] or every
    return [
        Anomaly(device=device.label, timestamp=instant, score=score)
        for device in told
        for instant, score, _ in device.anomalies()
    ]
