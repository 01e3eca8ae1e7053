"""Text for a terminal: what a partner chose must not move the cursor or hide a line."""


def printable(text: str) -> str:
    """Return a line with everything that is no visible character or space made visible."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)
