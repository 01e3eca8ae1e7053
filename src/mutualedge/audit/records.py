"""Steps 5, 6 and 7: records against agreement and evidence, their chains, and what can be."""

from bisect import bisect_left, bisect_right

from mutualedge.audit.case import Case
from mutualedge.audit.chains import Chain, LeaseUse, Logged, Profile, ProfileUse, Row
from mutualedge.audit.report import UNKNOWN
from mutualedge.audit.terms import LeaseTerms, Position, record_subject
from mutualedge.model import EnterpriseId, LeaseId

_RECORD, _CHAIN, _PHYSICS, _MONEY = 5, 6, 7, 8


class RecordJudge:
    """Judges every profile, chain and lease of a case."""

    def __init__(self, case: Case) -> None:
        """Take a case whose logs are judged."""
        self._case = case
        self.unbatched_count = 0

    def judge(self) -> None:
        """Run the three steps."""
        for profile, profile_use in self._case.usage.profiles.items():
            self._judge_profile(profile, profile_use)
        for chain in self._case.usage.chains.values():
            self._judge_chain(chain)
        for (lease, provider), use in self._case.usage.leases.items():
            self._judge_lease(lease, provider, use)
        for log, subject, place in self._case.usage.strays:
            self._report_stray(log, subject, place)

    def _report_stray(self, log: EnterpriseId, subject: str, place: Logged) -> None:
        sentence = f"'{log}' logged a record of a lease in which it is neither side."
        culprit = self._case.logger(log, place.entry)
        self._add("record.foreign-log", sentence, _CHAIN, place, subject=subject, culprit=culprit)

    # --- step 5: what each record says of itself

    def _judge_profile(self, profile: Profile, use: ProfileUse) -> None:
        place = Logged(use.seq, use.line, use.entry)
        terms = self._case.terms.get(profile.lease)
        if terms is None:
            sentence = f"{use.count} records name a lease whose agreement is not in the bundle."
            self._about("missing.agreement", sentence, _RECORD, profile, place)
            return
        agreed = terms.agreement
        named = (profile.requester, profile.provider, profile.node, profile.function)
        if named != (agreed.requester, agreed.provider, agreed.node, agreed.function):
            sentence = f"{use.count} records name a party, node or function that was not agreed."
            self._about("record.terms", sentence, _RECORD, profile, place)
        self._judge_evidence(profile, place, use.count)
        self._judge_price(profile, place, use.count, terms)

    def _judge_evidence(self, profile: Profile, place: Logged, count: int) -> None:
        attested = self._case.attested.get((profile.lease, profile.meter))
        if attested is None:
            sentence = f"No attestation binds meter key {profile.meter} to this lease."
            self._about("missing.attestation", sentence, _RECORD, profile, place)
            return
        named = [each for each in attested if each.evidence == profile.attestation]
        if not named:
            sentence = (
                f"{count} records name evidence {profile.attestation}, which is not in the bundle; "
                f"line {attested[0].line} holds another of their meter key."
            )
            self._about("missing.evidence", sentence, _RECORD, profile, place)
        elif named[0].level not in {None, profile.assurance}:
            sentence = (
                f"{count} records claim assurance '{profile.assurance}'; "
                f"their evidence was appraised as '{named[0].level}'."
            )
            self._about("record.assurance", sentence, _RECORD, profile, place)

    def _judge_price(self, profile: Profile, place: Logged, count: int, terms: LeaseTerms) -> None:
        """Step 7: charged time is reserved time, or none; step 8: its price is the agreed one."""
        rs_ms, amount = profile.rs_ms, profile.amount_microcredits
        if rs_ms not in {terms.call_rs_ms, 0}:
            sentence = f"{count} records charge {rs_ms} ms; a call reserves {terms.call_rs_ms} ms."
            self._about("record.reserved-time", sentence, _PHYSICS, profile, place)
        price = terms.agreement.price_microcredits
        if amount != rs_ms * price:
            sentence = (
                f"{count} records charge {amount} microcredits; "
                f"{rs_ms} ms at {price} a millisecond are {rs_ms * price}."
            )
            self._about("record.amount", sentence, _MONEY, profile, place)

    def _about(self, rule: str, sentence: str, step: int, profile: Profile, place: Logged) -> None:
        subject = record_subject(profile.lease, profile.meter, place.seq)
        culprit = self._case.logger(profile.provider, place.entry)
        self._add(rule, sentence, step, place, subject=subject, culprit=culprit)

    # --- step 6: each chain

    def _judge_chain(self, chain: Chain) -> None:
        terms = self._case.terms.get(chain.lease)
        if terms is not None and terms.agreement.provider != chain.provider:
            return  # Its records name another provider than the agreement: step 5 said so.
        words = self._case.words.get((chain.lease, chain.meter), [])
        anchors = Anchors(chain, words)
        for seq in chain.breaks:
            self._report_break(chain, anchors, seq)
        for row in chain.doubles:
            self._report_double(chain, row)
        for log, row in chain.copies:
            if terms is not None and log != terms.agreement.requester:
                subject = record_subject(chain.lease, chain.meter, row.seq)
                self._report_stray(log, subject, Logged(row.seq, row.line, row.entry))
            elif row.seq not in chain.early:
                self._judge_copy(chain, words, log, row)
        self._judge_gap(chain)
        covered = Anchors(chain, [each for each in words if each.kind == "batch"]).last
        self.unbatched_count += len(chain) - covered

    def _report_break(self, chain: Chain, anchors: "Anchors", seq: int) -> None:
        """A link does not fit: what a later signature still covers is not what was altered."""
        before = chain.place(max(seq - 1, 1))
        place = chain.place(seq)
        first, last = min(before.line, place.line), max(before.line, place.line)
        if anchors.holds(seq) and seq > 1:
            first = last = before.line
        elif seq == 1 or anchors.holds(seq - 1):
            first = last = place.line
        sentence = f"Record {seq} names another predecessor than the record before it."
        self._case.findings.add(
            "chain.broken",
            sentence,
            step=_CHAIN,
            line=first,
            last_line=last,
            subject=record_subject(chain.lease, chain.meter, seq),
            culprit=self._case.logger(chain.provider, before.entry, place.entry),
        )

    def _report_double(self, chain: Chain, row: Row) -> None:
        other = chain.early.get(row.seq)
        place = Logged(row.seq, other.line, other.entry) if other else chain.place(row.seq)
        same = row.digest == (other.digest if other else chain.head(row.seq))
        rule = "chain.logged-twice" if same else "chain.fork"
        sentence = f"Record {row.seq} is logged twice, as entries {place.entry} and {row.entry}" + (
            "." if same else ", and they differ."
        )
        self._case.findings.add(
            rule,
            sentence,
            step=_CHAIN,
            line=min(row.line, place.line),
            last_line=max(row.line, place.line),
            subject=record_subject(chain.lease, chain.meter, row.seq),
            culprit=self._case.logger(chain.provider, place.entry, row.entry),
        )

    def _judge_copy(self, chain: Chain, words: list[Position], log: EnterpriseId, row: Row) -> None:
        """Hold the requester's copy against the provider's; the runner's word says who lies."""
        place = Logged(row.seq, row.line, row.entry)
        batches = [each for each in words if each.kind == "batch"]
        if row.seq > len(chain):
            hidden = self._is_hidden(chain, batches, row.seq)
            rule = "chain.unlogged" if hidden else "missing.record"
            sentence = f"'{log}' logged record {row.seq}; '{chain.provider}' did not."
            culprit = chain.provider if hidden else UNKNOWN
            self._of_chain(rule, sentence, chain, place, culprit=culprit)
        elif chain.head(row.seq) != row.digest:
            holds = Anchors(chain, batches).holds(row.seq)
            culprit = self._case.logger(log, row.entry) if holds else UNKNOWN
            sentence = f"'{log}' logged another record {row.seq} than '{chain.provider}'."
            self._of_chain("chain.fork", sentence, chain, place, culprit=culprit)

    def _is_hidden(self, chain: Chain, batches: list[Position], seq: int) -> bool:
        """Tell whether an attested runner signed for a record that its provider never logged."""
        attested = self._case.attested.get((chain.lease, chain.meter), [])
        log = self._case.logs.get(chain.provider)
        return (
            log is not None
            and log.is_fully_open
            and any(each.level for each in attested)
            and any(each.through_seq >= seq for each in batches)
        )

    def _judge_gap(self, chain: Chain) -> None:
        if not chain.early:
            return
        absent, after = len(chain) + 1, chain.early[min(chain.early)]
        log = self._case.logs.get(chain.provider)
        skipped = log is not None and log.is_fully_open
        rule = "chain.gap" if skipped else "missing.record"
        sentence = f"Record {after.seq} follows, but record {absent} is not in the bundle" + (
            f", and '{chain.provider}' did not log it." if skipped else "."
        )
        place = Logged(absent, after.line, after.entry)
        culprit = chain.provider if skipped else UNKNOWN
        self._of_chain(rule, sentence, chain, place, culprit=culprit)

    def _of_chain(
        self, rule: str, sentence: str, chain: Chain, place: Logged, *, culprit: str
    ) -> None:
        subject = record_subject(chain.lease, chain.meter, place.seq)
        self._add(rule, sentence, _CHAIN, place, subject=subject, culprit=culprit)

    # --- steps 6 and 7: over all meters of a lease

    def _judge_lease(self, lease: LeaseId, provider: EnterpriseId, use: LeaseUse) -> None:
        terms = self._case.terms.get(lease)
        for meter, place in use.rebilled:
            sentence = "The invocation of this record was charged by another record already."
            subject = record_subject(lease, meter, place.seq)
            culprit = self._case.logger(provider, place.entry)
            self._add(
                "record.billed-twice", sentence, _CHAIN, place, subject=subject, culprit=culprit
            )
        for meter, place in use.oversize:
            sentence = "The record counts more bytes than one call can carry."
            subject = record_subject(lease, meter, place.seq)
            culprit = self._case.logger(provider, place.entry)
            self._add("record.bytes", sentence, _PHYSICS, place, subject=subject, culprit=culprit)
        if terms and use.billed_count > terms.calls_max:
            sentence = (
                f"{use.billed_count} calls are charged; at one in {terms.agreement.period_ns} ns "
                f"the lease holds {terms.calls_max}."
            )
            self._case.findings.add(
                "lease.calls",
                sentence,
                step=_PHYSICS,
                line=terms.line,
                subject=lease,
                culprit=self._case.logger(provider, use.last_entry),
            )

    def _add(
        self, rule: str, sentence: str, step: int, place: Logged, *, subject: str, culprit: str
    ) -> None:
        blamed = UNKNOWN if rule.startswith("missing.") else culprit
        self._case.findings.add(
            rule, sentence, step=step, line=place.line, subject=subject, culprit=blamed
        )


class Anchors:
    """Which records of a chain a signed head still covers, backwards through intact links."""

    def __init__(self, chain: Chain, words: list[Position]) -> None:
        """Take a chain and everything that was signed about it."""
        self._breaks = chain.breaks
        self._heads = sorted(each.through_seq for each in words if matches_head(chain, each))

    @property
    def last(self) -> int:
        """Number of the last record that a signed head covers, 0 if none does."""
        return self._heads[-1] if self._heads else 0

    def holds(self, seq: int) -> bool:
        """Tell whether some signed head covers exactly this record as it stands here."""
        at, after = bisect_left(self._heads, seq), bisect_right(self._breaks, seq)
        if at == len(self._heads):
            return False
        return after == len(self._breaks) or self._heads[at] < self._breaks[after]


def matches_head(chain: Chain, word: Position) -> bool:
    """Tell whether a signed head is the digest of the record it names."""
    within = 0 < word.through_seq <= len(chain)
    return within and chain.head(word.through_seq).hex() == word.head
