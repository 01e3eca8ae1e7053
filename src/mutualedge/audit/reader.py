"""Step 1, the file: every line parsed, re-encoded and compared, so that no byte escapes."""

from collections.abc import Iterable, Iterator

import msgspec

from mutualedge.audit.bundle import BUNDLE_FORMAT, LINE_BYTES_MAX, BundleItem, HeaderItem
from mutualedge.audit.report import Findings
from mutualedge.model import UNREADABLE
from mutualedge.signing import canonical_bytes

_STEP = 1

_items: msgspec.json.Decoder[BundleItem] = msgspec.json.Decoder(BundleItem)


class BundleReader:
    """Yields the items of a bundle with their lines; what is no item becomes a finding."""

    def __init__(self, lines: Iterable[bytes], findings: Findings) -> None:
        """Take lines as a file opened in binary mode yields them, newline included."""
        self._lines = lines
        self._findings = findings
        self.header: HeaderItem | None = None
        self.line_count = 0

    def items(self) -> Iterator[tuple[int, BundleItem]]:
        """Yield (line, item) for every line after the header, then hold the count to it."""
        for line, raw in enumerate(self._lines, start=1):
            self.line_count = line
            item = self._parse(line, raw)
            if line == 1:
                self._take_header(item)
            elif isinstance(item, HeaderItem):
                self._malformed(line, "A second header stands inside the bundle.")
            elif item is not None:
                yield line, item
        self._check_count()

    def _parse(self, line: int, raw: bytes) -> BundleItem | None:
        if len(raw) > LINE_BYTES_MAX:
            self._malformed(line, f"The line has more than {LINE_BYTES_MAX} bytes.")
            return None
        try:
            item = _items.decode(raw)
        except UNREADABLE as error:
            self._malformed(line, f"The line is no piece of evidence: {error}.")
            return None
        if canonical_bytes(item) + b"\n" != raw:
            self._malformed(line, "The line is not in canonical form, or its newline is gone.")
            return None
        return item

    def _take_header(self, item: BundleItem | None) -> None:
        if isinstance(item, HeaderItem) and item.format == BUNDLE_FORMAT:
            self.header = item
        elif item is not None:
            self._malformed(1, f"The first line is not a header of format '{BUNDLE_FORMAT}'.")

    def _check_count(self) -> None:
        if self.line_count == 0:
            sentence = "The file is empty; ask for the bundle again."
            self._findings.add("missing.header", sentence, step=_STEP, subject="file")
        if self.header is None or self.header.items == self.line_count - 1:
            return
        found, named = self.line_count - 1, self.header.items
        rule = "missing.lines" if found < named else "line.surplus"
        sentence = f"The header announces {named} lines after it; there are {found}."
        self._findings.add(rule, sentence, step=_STEP, line=1, subject="header.items")

    def _malformed(self, line: int, sentence: str) -> None:
        self._findings.add("line.malformed", sentence, step=_STEP, line=line, subject="line")
