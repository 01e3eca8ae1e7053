"""What processes note, in words a plant engineer understands."""

WORDS: dict[str, str] = {
    "runner.spawned": (
        "{who}: the runner starts, isolated by {layers} (missing: {missing}); "
        "timing: {timing} ({timing_reason})"
    ),
    "runner.failed": "{who}: the runner could not be started: {sentence} [{code}]",
    "runner.ended": "{who}: the runner ended and is started again",
    "evidence.appraised": (
        "{who} appraises the evidence of {provider}'s runner: it fits the trust file; "
        "assurance: {assurance}"
    ),
    "lease.agreed": "{who} and {provider} sign a lease; the ledger reserves its price",
    "lease.signed": "{who} reserves processor time for {requester}",
    "lease.resolved": "{who}: the ledger settled the lease",
    "lease.breached": "{who}: a partner broke a promise and signed that it did [{code}]",
    "lease.claimed": "{who} tells the ledger alone what a partner owes that does not answer",
    "lease.underpaid": "{who} is not paid {unpaid} microcredits that nobody signed for",
    "lease.closed_alone": "{who} tells the ledger alone what it owes a partner",
    "claim.contradicted": "{who} contradicts what a partner claims",
    "session.opened": "{who} has an encrypted session into {provider}'s runner",
    "voucher.signed": "{who} signs a voucher: it owes {total} microcredits so far",
    "voucher.refused": "{who}: a partner will not sign for what it got [{code}]",
    "statement.signed": "{who}: the statement over {total} microcredits has both signatures",
    "checkpoint.cosigned": "{who}'s log: {witness} cosigns its first {size} entries",
    "peer.faulted": "{who} caught a fault: {sentence} [{code}]",
    "trust.adopted": "{who}: version {version} of the trust file holds, with {members} members",
    "membership.ended": "{who} is no member any more since version {version} of the trust file",
    "core.restarted": "{who} starts again from what it stored: {reason}",
}
"""A sentence for each event that an operator may want to read; the event files have them all."""

REASONS: dict[str, str] = {
    "booking.job.deadline": "no room at home, no free place at a partner before the deadline",
    "booking.lease.ended": "no room at home, the lease at the partner was about to end",
    "device.node.off": "the device's own node was off",
    "market.partner.silent": "no room at home, the partner did not answer the call before",
    "market.lease.none": "no room at home, no session to a partner at that moment",
    "nats.connection.lost": "the device's own node lost power over it",
    "nats.request.no-responders": "the partner was gone, no room at home",
    "nats.request.timeout": "the partner did not answer, no time left to run it at home",
}
"""Why a question of a device got no result; other codes stand for themselves."""
