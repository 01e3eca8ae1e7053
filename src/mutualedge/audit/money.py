"""Steps 6 and 8: what was signed about a chain is what the chain says, and sums are sums."""

from itertools import pairwise

from mutualedge.audit.case import Case, SignedStatement
from mutualedge.audit.chains import Chain
from mutualedge.audit.records import Anchors, matches_head
from mutualedge.audit.report import UNKNOWN
from mutualedge.audit.terms import LeaseTerms, Position, gainer
from mutualedge.model import KeyId, LeaseId

_CHAIN, _MONEY = 6, 8


class MoneyJudge:
    """Judges batches, vouchers and statements against the records and each other."""

    def __init__(self, case: Case) -> None:
        """Take a case whose chains are judged."""
        self._case = case

    def judge(self) -> None:
        """Run both steps."""
        for (lease, meter), words in self._case.words.items():
            self._judge_words(lease, meter, words)
        for lease, statements in self._case.statements.items():
            for statement in statements:
                self._judge_statement(statement, statements[0])
            self._judge_sums(lease, statements[0])

    def _judge_words(self, lease: LeaseId, meter: KeyId, words: list[Position]) -> None:
        terms = self._case.terms.get(lease)
        if terms is None:
            sentence = "The agreement of this lease is not in the bundle."
            self._add("missing.agreement", sentence, words[0])
            return
        self._judge_growth(words, terms)
        chain = self._case.chain_of(lease, meter)
        held = len(chain) if chain else 0
        beyond = [each for each in words if each.through_seq > held]
        if beyond and not (chain and chain.early):
            sentence = f"Records {held + 1} to {beyond[-1].through_seq} are not in the bundle."
            self._add("missing.record", sentence, beyond[-1])
        if chain is not None:
            self._judge_against(chain, [each for each in words if each not in beyond], terms)
        elif (lease, meter) not in self._case.attested:
            sentence = f"No attestation binds meter key {meter} to this lease."
            self._add("missing.attestation", sentence, words[0])

    def _judge_growth(self, words: list[Position], terms: LeaseTerms) -> None:
        """A later voucher replaces an earlier one and is never smaller."""
        vouchers = sorted(
            (each for each in words if each.kind == "voucher"),
            key=lambda each: (each.through_seq, each.line),
        )
        for before, after in pairwise(vouchers):
            falls = after.total_microcredits < before.total_microcredits
            differs = after.through_seq == before.through_seq and (
                after.head != before.head or after.total_microcredits != before.total_microcredits
            )
            if falls or differs:
                sentence = (
                    f"The requester vouched {before.total_microcredits} microcredits through "
                    f"record {before.through_seq} on line {before.line}, and here "
                    f"{after.total_microcredits} through record {after.through_seq}."
                )
                self._add("voucher.falls", sentence, after, culprit=terms.agreement.requester)

    def _judge_against(self, chain: Chain, words: list[Position], terms: LeaseTerms) -> None:
        told: list[int] = []
        for word in words:
            if word.through_seq == 0:
                continue
            if not matches_head(chain, word):
                if word.through_seq not in told:
                    self._report_head(chain, words, word, terms)
                    told.append(word.through_seq)
            elif chain.breaks and chain.breaks[0] <= word.through_seq:
                continue  # An altered record before it explains any sum, and is reported.
            elif word.total_microcredits != chain.total(word.through_seq):
                self._report_total(chain, word, terms)

    def _report_head(
        self, chain: Chain, words: list[Position], word: Position, terms: LeaseTerms
    ) -> None:
        """Another record was signed than stands here; the runner's word decides whose fault."""
        place = chain.place(word.through_seq)
        batches = [each for each in words if each.kind == "batch"]
        line, culprit = place.line, UNKNOWN
        if word.kind != "batch" and Anchors(chain, batches).holds(word.through_seq):
            line = word.line
            culprit = terms.agreement.requester if word.kind == "voucher" else UNKNOWN
        elif any(each.through_seq == word.through_seq for each in batches):
            culprit = self._case.logger(chain.provider, place.entry)
        sentence = (
            f"Record {word.through_seq} is not the one that the {word.kind} on line {word.line} "
            "was signed for."
        )
        self._case.findings.add(
            f"{word.kind}.head",
            sentence,
            step=_CHAIN if word.kind == "batch" else _MONEY,
            line=line,
            subject=word.subject,
            culprit=culprit,
        )

    def _report_total(self, chain: Chain, word: Position, terms: LeaseTerms) -> None:
        recomputed = chain.total(word.through_seq)
        sentence = (
            f"The {word.kind} says {word.total_microcredits} microcredits through record "
            f"{word.through_seq}; the records add up to {recomputed}."
        )
        match word.kind:
            case "batch":
                culprit = terms.agreement.provider
            case "voucher":
                culprit = terms.agreement.requester
            case _:
                culprit = gainer(word.total_microcredits - recomputed, terms)
        self._add(f"{word.kind}.total", sentence, word, culprit=culprit)

    def _judge_statement(self, statement: SignedStatement, first: SignedStatement) -> None:
        terms = self._case.terms.get(statement.lease)
        recomputed = sum(each.total_microcredits for each in statement.lines)
        if recomputed != statement.total_microcredits:
            sentence = (
                f"The statement says {statement.total_microcredits} microcredits; "
                f"its lines add up to {recomputed}."
            )
            culprit = gainer(statement.total_microcredits - recomputed, terms)
            self._about("statement.sum", sentence, statement, culprit)
        if terms is None:
            sentence = "The agreement of this statement's lease is not in the bundle."
            self._about("missing.agreement", sentence, statement)
        elif statement.total_microcredits > terms.cost_max_microcredits:
            sentence = (
                f"The statement's {statement.total_microcredits} microcredits exceed the "
                f"{terms.cost_max_microcredits} that the lease can cost."
            )
            self._about("statement.beyond-cost", sentence, statement, terms.agreement.provider)
        if statement.digest != first.digest:
            sentence = f"Both sides signed another statement of this lease on line {first.line}."
            self._about("statement.conflict", sentence, statement)

    def _judge_sums(self, lease: LeaseId, statement: SignedStatement) -> None:
        """Each line of a statement is the requester's last voucher for its meter; none lacks."""
        terms = self._case.terms.get(lease)
        if terms is None:
            return
        lines = {each.meter: each for each in statement.lines}
        vouched = self._last_vouchers(lease)
        for meter, line in lines.items():
            last = vouched.get(meter)
            if last is None or last.through_seq < line.through_seq:
                sentence = (
                    f"The voucher for meter {meter} through record {line.through_seq} "
                    "is not in the bundle."
                )
                self._about("missing.voucher", sentence, statement)
            elif (last.head, last.total_microcredits) != (line.head, line.total_microcredits):
                self._report_line(statement, last, line.total_microcredits, terms)
        for meter, last in vouched.items():
            if meter not in lines and last.total_microcredits:
                self._report_line(statement, last, 0, terms)

    def _last_vouchers(self, lease: LeaseId) -> dict[KeyId, Position]:
        last: dict[KeyId, Position] = {}
        for meter in self._case.meters.get(lease, []):
            words = self._case.words[lease, meter]
            vouchers = [each for each in words if each.kind == "voucher"]
            if vouchers:
                last[meter] = max(vouchers, key=lambda each: each.through_seq)
        return last

    def _report_line(
        self, statement: SignedStatement, last: Position, stated: int, terms: LeaseTerms
    ) -> None:
        sentence = (
            f"The statement has {stated} microcredits for meter {last.meter}; the requester's last "
            f"voucher, on line {last.line}, has {last.total_microcredits} "
            f"through record {last.through_seq}."
        )
        culprit = gainer(stated - last.total_microcredits, terms)
        self._about("statement.vouchers", sentence, statement, culprit)

    def _about(
        self, rule: str, sentence: str, statement: SignedStatement, culprit: str = UNKNOWN
    ) -> None:
        self._case.findings.add(
            rule,
            sentence,
            step=_MONEY,
            line=statement.line,
            subject=statement.lease,
            culprit=culprit,
        )

    def _add(self, rule: str, sentence: str, word: Position, *, culprit: str = UNKNOWN) -> None:
        self._case.findings.add(
            rule,
            sentence,
            step=_CHAIN if word.kind == "batch" else _MONEY,
            line=word.line,
            subject=word.subject,
            culprit=culprit,
        )
