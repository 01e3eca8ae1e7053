"""What the verifier found: one verdict, ten steps, and each finding with its line and culprit."""

from collections import Counter
from typing import Literal

import msgspec

from mutualedge.audit.rules import RULE_CODES
from mutualedge.model import AssuranceLevel

STEP_NAMES = (
    "trust file and form of every line",
    "checkpoints: signatures and witnesses",
    "checkpoints of one log agree",
    "logs rebuilt entry by entry",
    "records: agreement, meter key, evidence",
    "chains of records",
    "physics of the lease",
    "money: prices, vouchers, statements",
    "ledger replayed",
    "report",
)
"""The ten steps, in order; step 1 is the first (facts: audit, 7.4)."""

FINDINGS_MAX = 1000
"""Findings kept in full; more of them are counted only. A reader acts on the first few."""

UNKNOWN = "unknown"
"""Culprit when no signature tells who did it; also whoever altered the file on its way."""

LEDGER_WRITER = "ledger-writer"
"""Culprit name of the hub, which writes the ledger and runs the consortium's own witness."""

Verdict = Literal["proved", "violated", "incomplete"]

EXIT_CODES = {"proved": 0, "violated": 1, "incomplete": 2}


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is wrong or absent.

    Attributes:
        rule: Stable dotted code; ``audit.missing.*`` means evidence is absent, not contradicted.
        step: 1 to 10, the place in ``STEP_NAMES``.
        line: Line of the bundle, from 1; 0 when the whole file is meant.
        last_line: Last line of the range meant; equal to ``line`` unless only a group of entries
            can be held against one root.
        subject: Lease/meter/seq of a record, log/index of an entry, or height of a block.
        culprit: An enterprise, ``ledger-writer``, or ``unknown``.
        sentence: What contradicts what.
    """

    rule: str
    step: int
    line: int
    last_line: int
    subject: str
    culprit: str
    sentence: str

    @property
    def is_missing(self) -> bool:
        """Whether evidence is absent, as opposed to contradicted."""
        return self.rule.startswith("audit.missing.")


class Counts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much was checked.

    Attributes:
        records_unbatched: Records that no batch of their runner covers: the requester's voucher
            is all that stands behind them (a runner that crashed signs nothing more).
        entries: Log entries, opened and sealed.
        cosignatures: Valid ones, of partners and the hub.
        settled_microcredits: Posted by the ledger from requesters to providers.
        ledger_sum_microcredits: All balances added; zero, or the ledger made money.
    """

    lines: int
    records: int
    records_unbatched: int
    leases: int
    blocks: int
    entries: int
    cosignatures: int
    settled_microcredits: int
    ledger_sum_microcredits: int


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the ten steps and what it came to."""

    number: int
    name: str
    verdict: Verdict


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verifier's answer; encode it with ``signing.canonical_bytes`` for a machine.

    Attributes:
        status: ``violated`` if anything contradicts, else ``incomplete`` if anything is absent.
        trust_version: Of the last version of the trust file that the blocks adopted; 1 if none
            did, 0 without a trust file.
        trust_digest: Digest of that version.
        assurance: Levels that the evidence behind the meter keys reached, weakest first.
        findings: Contradictions first, then what is absent, each in order of lines.
        findings_omitted: Findings beyond ``FINDINGS_MAX``.
        unsigned: Bytes of the file that no signature or digest covers.
    """

    status: Verdict
    consortium: str
    trust_version: int
    trust_digest: str
    counts: Counts
    assurance: tuple[AssuranceLevel, ...]
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    findings_omitted: int
    unsigned: str = "header.exported"

    @property
    def exit_code(self) -> int:
        """0 everything proved, 1 something contradicts, 2 evidence is missing."""
        return EXIT_CODES[self.status]


class Findings:
    """Collects findings while the steps run, bounded."""

    def __init__(self) -> None:
        """Start without any."""
        self._kept: list[Finding] = []
        self._per_step: Counter[tuple[int, bool]] = Counter()

    def add(
        self,
        rule: str,
        sentence: str,
        *,
        step: int,
        line: int = 0,
        last_line: int = 0,
        subject: str,
        culprit: str = UNKNOWN,
    ) -> None:
        """Record one finding; the step it belongs to is no longer proved.

        Args:
            rule: Its code in ``RULES`` without ``audit.``.
            sentence: What contradicts what.
            step: 1 to 10.
            line: Of the bundle.
            last_line: Of the range, if it is one.
            subject: What it is about.
            culprit: Who signed what is wrong, if a signature tells.
        """
        code = f"audit.{rule}"
        assert code in RULE_CODES, f"nobody could look up '{code}'; give it a row in RULES"
        finding = Finding(
            rule=code,
            step=step,
            line=line,
            last_line=max(line, last_line),
            subject=subject,
            culprit=culprit,
            sentence=sentence,
        )
        self._per_step[step, finding.is_missing] += 1
        if len(self._kept) < FINDINGS_MAX:
            self._kept.append(finding)

    @property
    def omitted(self) -> int:
        """Findings counted but not kept."""
        return self._per_step.total() - len(self._kept)

    def sorted(self) -> tuple[Finding, ...]:
        """Return contradictions, then what is absent, each in order of lines."""
        return tuple(sorted(self._kept, key=lambda each: (each.is_missing, each.line, each.step)))

    def verdict(self, step: int) -> Verdict:
        """Return what one step came to."""
        if self._per_step[step, False]:
            return "violated"
        return "incomplete" if self._per_step[step, True] else "proved"

    def steps(self) -> tuple[Step, ...]:
        """Return all ten steps; the last one, the report, is what all of them came to."""
        verdicts = [self.verdict(number) for number in range(1, len(STEP_NAMES))]
        return tuple(
            Step(number=number, name=name, verdict=verdict)
            for number, (name, verdict) in enumerate(
                zip(STEP_NAMES, (*verdicts, worst(verdicts)), strict=True), start=1
            )
        )


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of the whole: a contradiction outweighs absence."""
    if "violated" in verdicts:
        return "violated"
    return "incomplete" if "incomplete" in verdicts else "proved"


def render_text(report: Report) -> str:
    """Return the report for a terminal, at most a screen when everything is proved."""
    counts = report.counts
    trust = f"{report.trust_digest[:16]} (version {report.trust_version})"
    if not report.trust_version:
        trust = "none"
    lines = [
        f"{report.status.upper()}: consortium '{report.consortium}', trust file {trust}",
        f"  {counts.lines} lines: {counts.records} records under {counts.leases} leases",
        f"  {counts.records_unbatched} of them not signed for by their runner",
        f"  {counts.entries} log entries, {counts.cosignatures} cosignatures",
        f"  {counts.blocks} blocks, {counts.settled_microcredits} microcredits settled",
        f"  sum of all accounts: {counts.ledger_sum_microcredits}",
        f"  assurance: {', '.join(report.assurance) or 'no evidence'}",
    ]
    lines += [f"  {step.number:2} {step.verdict:10} {step.name}" for step in report.steps]
    # What is absent keeps several steps from being proved; a reader is told once.
    for shown in dict.fromkeys(map(_render_finding, report.findings)):
        lines += shown
    if report.findings_omitted:
        lines.append(f"and {report.findings_omitted} findings more, not listed")
    lines.append(f"Not covered by any signature: {report.unsigned}.")
    return "\n".join(lines) + "\n"


def _render_finding(finding: Finding) -> tuple[str, str]:
    where = f"line {finding.line}" if finding.line else "file"
    if finding.last_line > finding.line:
        where = f"lines {finding.line}-{finding.last_line}"
    return (
        f"{where}: {finding.rule} [{finding.subject}] culprit: {finding.culprit}",
        f"    {finding.sentence}",
    )
