"""Steps 2, 3 and 4: checkpoints with our own count of witnesses, and logs rebuilt leaf by leaf."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from mutualedge.audit.report import LEDGER_WRITER, Findings
from mutualedge.errors import MutualEdgeError
from mutualedge.identity import Consortium, Member
from mutualedge.model import EnterpriseId
from mutualedge.tlog import (
    HASH_BYTES,
    Note,
    NoteAlgorithm,
    NoteVerifier,
    empty_root,
    node_hash,
    parse_note,
    verify_checkpoint,
    verify_cosignature,
)

_SIGNED, _CONSISTENT, _REBUILT = 2, 3, 4

HUB = ""
"""The hub among witnesses: no enterprise can have this name, whatever it calls itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One checkpoint that its log signed, and the witnesses (with times) who cosigned it."""

    line: int
    size: int
    root: bytes
    cosigned: tuple[tuple[str, int], ...]


@dataclass(slots=True, kw_only=True)
class LogEvidence:
    """What a bundle holds of one log; 40 bytes for each entry, whatever its length.

    Attributes:
        proved_size: Entries below this index are under a checkpoint that the log signed.
        carries_records: Whether money is claimed from an opened entry of it.
    """

    owner: EnterpriseId
    notes: list[tuple[int, str]] = field(default_factory=list)
    hashes: bytearray = field(default_factory=bytearray)
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    early: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    repeated: list[tuple[int, int]] = field(default_factory=list)
    sealed_count: int = 0
    carries_records: bool = False
    proved_size: int = 0

    def add_leaf(self, index: int, leaf: bytes, line: int) -> None:
        """Take the hash of one entry; entries may come in any order."""
        if index == len(self.lines):
            self.hashes += leaf
            self.lines.append(line)
            while self.early and (late := self.early.pop(len(self.lines), None)):
                self.hashes += late[0]
                self.lines.append(late[1])
        elif index < len(self.lines) or index in self.early:
            self.repeated.append((index, line))
        else:
            self.early[index] = (leaf, line)

    @property
    def is_fully_open(self) -> bool:
        """Whether every entry is here, opened: then what is not in it was not logged."""
        return not self.early and not self.sealed_count and self.proved_size == len(self.lines)

    @property
    def entry_count(self) -> int:
        """Entries given, opened or sealed."""
        return len(self.lines) + len(self.early)


class LogJudge:
    """Judges one log at a time against the keys of whoever was a member."""

    def __init__(self, consortium: Consortium, findings: Findings) -> None:
        """Take whose keys count."""
        self._consortium = consortium
        self._findings = findings
        self.cosignature_count = 0

    def judge(self, log: LogEvidence) -> None:
        """Run the three steps on one log and set how far it is proved."""
        try:
            member = self._consortium.card(log.owner)
        except MutualEdgeError as error:
            late = [line for _, line in log.early.values()]
            line = min([*log.lines, *late, *(line for line, _ in log.notes)])
            self._add("log.owner", error.sentence, log, _SIGNED, line=line)
            return
        sightings = [
            seen for line, note in log.notes if (seen := self._sight(log, member, line, note))
        ]
        sightings.sort(key=lambda each: each.size)
        self._check_times(log, sightings)
        self._check_witnessed(log, sightings)
        self._check_forks(log, sightings)
        self._check_entries(log, sightings)
        self._check_roots(log, sightings)

    def _sight(self, log: LogEvidence, member: Member, line: int, note: str) -> Sighting | None:
        """Step 2: the log's signature, and every cosignature line accounted for."""
        origin = NoteVerifier(
            name=self._consortium.log_origin(log.owner), public_bytes=member.log_key
        )
        try:
            parsed = parse_note(note)
            checkpoint = verify_checkpoint(note, origin)
            cosigned = self._verify_cosignatures(parsed, origin)
        except MutualEdgeError as error:
            self._add("checkpoint.signature", error.sentence, log, _SIGNED, line=line)
            return None
        if parsed.signed_text != note:
            sentence = "The checkpoint is written in another way than its parts are."
            self._add("checkpoint.malformed", sentence, log, _SIGNED, line=line)
            return None
        if cosigned is None:
            sentence = "The checkpoint carries a signature line of no witness of this consortium."
            self._add("checkpoint.signature-unknown", sentence, log, _SIGNED, line=line)
            return None
        self.cosignature_count += len(cosigned)
        return Sighting(
            line=line, size=checkpoint.size, root=checkpoint.root, cosigned=tuple(cosigned)
        )

    def _verify_cosignatures(
        self, note: Note, origin: NoteVerifier
    ) -> list[tuple[str, int]] | None:
        """Return who cosigned and when; None if a line belongs to nobody we know.

        Raises:
            MutualEdgeError: A known witness's line does not verify.
        """
        cosigned: list[tuple[str, int]] = []
        known = len(note.signatures_by(origin))
        for witness, verifier in self._witnesses():
            if lines := note.signatures_by(verifier):
                known += len(lines)
                cosigned.append((witness, verify_cosignature(note, verifier)))
        return cosigned if known == len(note.signatures) else None

    def _witnesses(self) -> Iterator[tuple[str, NoteVerifier]]:
        trust = self._consortium.trust
        yield (
            HUB,
            NoteVerifier(
                name=trust.witness_name,
                public_bytes=trust.witness_key,
                algorithm=NoteAlgorithm.COSIGNATURE_V1,
            ),
        )
        for member in self._consortium.everyone:
            yield (
                member.enterprise,
                NoteVerifier(
                    name=self._consortium.witness_name(member.enterprise),
                    public_bytes=member.witness_key,
                    algorithm=NoteAlgorithm.COSIGNATURE_V1,
                ),
            )

    def _check_times(self, log: LogEvidence, sightings: list[Sighting]) -> None:
        """Step 2: a witness that saw the log grow did not see time go back."""
        latest: dict[str, tuple[int, int]] = {}
        for seen in sightings:
            for witness, time_s in seen.cosigned:
                size, before_s = latest.get(witness, (0, 0))
                if size < seen.size and time_s < before_s:
                    culprit = witness or LEDGER_WRITER
                    sentence = (
                        f"'{culprit}' cosigned size {seen.size} at {time_s} s, "
                        f"but the smaller size {size} later, at {before_s} s."
                    )
                    self._add(
                        "checkpoint.time", sentence, log, _SIGNED, line=seen.line, culprit=culprit
                    )
                if time_s > before_s or size < seen.size:
                    latest[witness] = (seen.size, max(time_s, before_s))

    def _check_witnessed(self, log: LogEvidence, sightings: list[Sighting]) -> None:
        """Step 2: who cosigned the last checkpoint is counted by us, not by the log."""
        if not sightings or not log.carries_records:
            return
        last = [each for each in sightings if each.size == sightings[-1].size]
        names = [witness for each in last for witness, _ in each.cosigned]
        has_partner = any(name not in {HUB, log.owner} for name in names)
        is_alone = {each.enterprise for each in self._consortium.members} == {log.owner}
        if HUB not in names or not (has_partner or is_alone):
            absent = "the hub" if has_partner or is_alone else "any partner"
            sentence = f"The last checkpoint, size {last[0].size}, lacks a cosignature of {absent}."
            self._add("missing.cosignature", sentence, log, _SIGNED, line=last[0].line)

    def _check_forks(self, log: LogEvidence, sightings: list[Sighting]) -> None:
        """Step 3: two roots of one size, both signed, need no other evidence."""
        for before, after in pairwise(sightings):
            if before.size == after.size and before.root != after.root:
                sentence = (
                    f"'{log.owner}' signed two different roots of size {after.size}: "
                    f"{before.root.hex()} on line {before.line} and {after.root.hex()}."
                )
                self._fork(log, before, after, sentence)

    def _check_entries(self, log: LogEvidence, sightings: list[Sighting]) -> None:
        """Step 4: every entry below the last checkpoint is here, once, and none above it."""
        have, size = len(log.lines), max((each.size for each in sightings), default=0)
        for index, line in log.repeated:
            sentence = f"Entry {index} stands in the bundle twice."
            self._add("log.entry-repeated", sentence, log, _REBUILT, line=line, index=index)
        if have < size:
            line = min((line for _, line in log.early.values()), default=sightings[-1].line)
            sentence = f"Entry {have} is absent; the last checkpoint has {size} entries."
            self._add("missing.entry", sentence, log, _REBUILT, line=line, index=have)
        late = [line for index, (_, line) in log.early.items() if index >= size]
        beyond = [*log.lines[size:], *late]
        if beyond:
            sentence = f"Entries from {size} on are under no checkpoint that '{log.owner}' signed."
            self._add(
                "missing.checkpoint",
                sentence,
                log,
                _REBUILT,
                line=min(beyond),
                last_line=max(beyond),
                index=size,
            )

    def _check_roots(self, log: LogEvidence, sightings: list[Sighting]) -> None:
        """Steps 3 and 4: the root over our leaves is the root that was signed, at every size."""
        sizes = sorted({each.size for each in sightings if each.size <= len(log.lines)})
        roots = dict(zip(sizes, _roots_at(log.hashes, sizes), strict=True))
        rebuilt = [each for each in sightings if each.size in roots]
        matching = [each for each in rebuilt if roots[each.size] == each.root]
        log.proved_size = matching[-1].size if matching else 0
        for seen in rebuilt:
            if roots[seen.size] == seen.root:
                continue
            if seen.size == 0 or seen.size < log.proved_size:
                other = matching[-1] if matching else seen
                sentence = (
                    f"'{log.owner}' signed size {seen.size} with a root that is no prefix of "
                    f"its own size {log.proved_size} on line {other.line}."
                )
                self._fork(log, seen, other, sentence)
            elif seen.size > log.proved_size:
                self._report_altered(log, seen)
                return

    def _report_altered(self, log: LogEvidence, seen: Sighting) -> None:
        lines = log.lines[log.proved_size : seen.size]
        sentence = (
            f"Entries {log.proved_size} to {seen.size - 1} do not give the root that "
            f"'{log.owner}' signed on line {seen.line}; at least one was altered."
        )
        self._add(
            "log.root",
            sentence,
            log,
            _REBUILT,
            line=min(lines),
            last_line=max(lines),
            index=log.proved_size,
        )

    def _fork(self, log: LogEvidence, first: Sighting, second: Sighting, sentence: str) -> None:
        self._add(
            "log.equivocation",
            sentence,
            log,
            _CONSISTENT,
            line=min(first.line, second.line),
            last_line=max(first.line, second.line),
            culprit=log.owner,
        )

    def _add(
        self,
        rule: str,
        sentence: str,
        log: LogEvidence,
        step: int,
        *,
        line: int,
        last_line: int = 0,
        index: int | None = None,
        culprit: str = "unknown",
    ) -> None:
        subject = f"log {log.owner}" if index is None else f"log {log.owner}/{index}"
        self._findings.add(
            rule,
            sentence,
            step=step,
            line=line,
            last_line=last_line,
            subject=subject,
            culprit=culprit,
        )


def _roots_at(hashes: bytearray, sizes: Iterable[int]) -> Iterator[bytes]:
    """Yield the RFC 6962 root over the first n leaves for each n of ascending sizes."""
    peaks: list[bytes] = []
    count = 0
    for size in sizes:
        while count < size:
            peak = bytes(hashes[count * HASH_BYTES : (count + 1) * HASH_BYTES])
            carry = count
            while carry & 1:
                peak = node_hash(peaks.pop(), peak)
                carry >>= 1
            peaks.append(peak)
            count += 1
        yield _fold(peaks)


def _fold(peaks: list[bytes]) -> bytes:
    if not peaks:
        return empty_root()
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root
