"""Until when certificates and tokens of the bus are valid; nothing is verified here."""

import base64
from typing import TypeVar

import msgspec
from cryptography import x509

from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, UNREADABLE


class _Dated(msgspec.Struct, frozen=True):
    """The one claim of a token that is read: seconds since 1970, absent where it never ends."""

    exp: int | None = None


class _Import(msgspec.Struct, frozen=True):
    """What an account may call, and the token that lets it."""

    token: str = ""


class _Imports(msgspec.Struct, frozen=True):
    """The part of an account's claims that lists its partners."""

    imports: tuple[_Import, ...] = ()


class _Account(msgspec.Struct, frozen=True):
    """An account's claims, as far as they are read."""

    nats: _Imports


T = TypeVar("T")


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
    exp = _claims(token, _Dated).exp
    return None if exp is None else exp * NS_PER_S


def _claims(token: str, kind: type[T]) -> T:
    try:
        payload = token.split(".")[1]
        padded = payload + "=" * (-len(payload) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=kind)
    except (IndexError, ValueError, *UNREADABLE) as error:
        sentence = "A bus token cannot be read; found or join the consortium again."
        raise UsageError("nats.token.malformed", sentence) from error


def credentials_token(credentials: str) -> str:
    """Return the token inside a credentials file.

    Raises:
        UsageError: There is none.
    """
    lines = [line for line in credentials.splitlines() if line.count(".") == 2]
    if not lines:
        sentence = "The credentials for the hub hold no token; found or join the consortium again."
        raise UsageError("nats.token.malformed", sentence)
    return lines[0].strip()


def activations_end_ns(account_token: str) -> int | None:
    """Return when the first of an account's activations expires: that partner is then closed.

    Raises:
        UsageError: The token cannot be read.
    """
    imports = _claims(account_token, _Account).nats.imports
    ends = [token_ends_ns(each.token) for each in imports if each.token]
    return min((each for each in ends if each is not None), default=None)
