"""Until when certificates and tokens of the bus are valid; nothing is verified here."""

import base64

import msgspec
from cryptography import x509

from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, UNREADABLE


class _Dated(msgspec.Struct, frozen=True):
    """The one claim of a token that is read: seconds since 1970, absent where it never ends."""

    exp: int | None = None


def certificate_ends_ns(certificate_pem: bytes) -> int:
    """Return when a certificate expires.

    Raises:
        UsageError: It is no certificate.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        sentence = f"A certificate cannot be read ({error}); found or join the consortium again."
        raise UsageError("nats.certificate.malformed", sentence) from error
    return int(certificate.not_valid_after_utc.timestamp()) * NS_PER_S


def token_ends_ns(token: str) -> int | None:
    """Return when a token (JWT) expires, None if never.

    Raises:
        UsageError: It is no token.
    """
    exp = _dated(token).exp
    return None if exp is None else exp * NS_PER_S


def _dated(token: str) -> _Dated:
    try:
        payload = token.split(".")[1]
        padded = payload + "=" * (-len(payload) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Dated)
    except (IndexError, ValueError, *UNREADABLE) as error:
        sentence = "A bus token cannot be read; found or join the consortium again."
        raise UsageError("nats.token.malformed", sentence) from error
