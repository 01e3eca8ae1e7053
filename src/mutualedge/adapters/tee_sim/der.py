"""The few DER values the Intel SGX certificate extension is made of.

Source: ITU-T X.690; Intel SGX PCK Certificate and CRL Profile Specification 1.5, section 3.3.
"""

_INTEGER = 0x02
_OCTETS = 0x04
_OBJECT = 0x06
_ENUMERATED = 0x0A
_SEQUENCE = 0x30

SHORT_LENGTH_MAX = 0x7F
"""Longest content whose length is one byte (X.690 section 8.1.3.4)."""


def sequence(*parts: bytes) -> bytes:
    """Return the SEQUENCE of values that are DER already."""
    return _value(_SEQUENCE, b"".join(parts))


def octets(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return _value(_OCTETS, content)


def integer(number: int) -> bytes:
    """Return an INTEGER that is not negative, in the fewest bytes that keep the sign bit clear."""
    return _value(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def enumerated(number: int) -> bytes:
    """Return an ENUMERATED below 128."""
    return _value(_ENUMERATED, bytes([number]))


def object_identifier(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER written as ``1.2.840.113741``."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return _value(_OBJECT, bytes([40 * first + second]) + b"".join(map(_arc, rest)))


def _arc(number: int) -> bytes:
    """Return base-128 digits, all but the last with the high bit set (X.690 section 8.19.2)."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _value(tag: int, content: bytes) -> bytes:
    count = len(content)
    if count <= SHORT_LENGTH_MAX:
        return bytes([tag, count]) + content
    width = (count.bit_length() + 7) // 8
    return bytes([tag, 0x80 | width]) + count.to_bytes(width, "big") + content
