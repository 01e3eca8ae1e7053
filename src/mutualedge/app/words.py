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
