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
    "runner.started": "{who}: the runner has loaded the function",
    "bundle.refused": "{who}: the runner would not load the function [{code}]",
    "response.refused": "{who}: what the function returned was no score for each reading [{code}]",
    "lease.not_acquired": "{who} got no lease of {provider} [{code}]; it asks again",
    "lease.not_opened": "{who}: the ledger did not open a lease [{code}]; it agrees on another",
    "lease.agreed": "{who} and {provider} sign a lease; the ledger reserves its price",
    "lease.signed": "{who} reserves processor time for {requester}",
    "lease.resolved": "{who}: the ledger settled the lease",
    "lease.breached": "{who}: a partner broke a promise and signed that it did [{code}]",
    "lease.claimed": "{who} tells the ledger alone what a partner owes that does not answer",
    "lease.underpaid": "{who} is not paid {unpaid} microcredits that nobody signed for",
    "lease.closed_alone": "{who} tells the ledger alone what it owes a partner",
    "claim.contradicted": "{who} contradicts what a partner claims",
    "session.opened": "{who} has an encrypted session into {provider}'s runner",
    "session.not_opened": "{who} has no session into {provider}'s runner: {sentence} [{code}]",
    "session.accepted": "{who}: a partner has an encrypted session into the runner",
    "reply.refused": "{who}: a partner's reply was not what the lease allows [{code}]",
    "voucher.received": "{who}: a partner signs a voucher: it owes {total} microcredits so far",
    "voucher.unanswered": "{who}: a partner does not answer a request for its voucher",
    "voucher.signed": "{who} signs a voucher: it owes {total} microcredits so far",
    "voucher.refused": "{who}: a partner will not sign for what it got [{code}]",
    "statement.signed": "{who}: the statement over {total} microcredits has both signatures",
    "statement.unsigned": "{who}: a partner has not signed the statement [{code}]; asked again",
    "command.answered": "{who}: block {height} of the ledger answers a command: {code}",
    "command.refused": "{who}: the hub takes no commands [{code}]; they are sent again",
    "command.set_aside": "{who}: the hub takes one command never [{code}]; it is put aside",
    "hub.busy": "{who}: the hub is busy [{code}]; {waiting} commands wait",
    "hub.unreachable": "{who}: the hub does not answer; {waiting} commands wait, work goes on",
    "countersignature.refused": "{who}: the hub does not take our word on a block [{code}]",
    "checkpoint.refused": "{who}'s log: {witness} will not cosign it [{code}]",
    "checkpoint.unwitnessed": "{who}'s log: {witness} does not answer; asked again",
    "checkpoint.not_cosigned": "{who} does not cosign a partner's log [{code}]",
    "checkpoint.cosigned": "{who}'s log: {witness} cosigns its first {size} entries",
    "peer.faulted": "{who} caught a fault: {sentence} [{code}]",
    "trust.adopted": "{who}: version {version} of the trust file holds, with {members} members",
    "membership.ended": "{who} is no member any more since version {version} of the trust file",
    "ledger.resumed": "the ledger goes on {behind_s} s behind the clock, which nobody lost time by",
    "block.sealed": "block {height} of the ledger: {commands} commands, {refused} refused",
    "clock.behind": "{who}: this clock is {by_s} s behind the ledger; {advice}",
    "credentials.expiring": "{who}: {what} is valid for {days} more days; {advice}",
    "credentials.expired": "{who}: {what} has expired: {then}; {advice}",
    "credentials.not_renewed": "{who}: credentials could not be renewed: {why}; {advice}",
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
