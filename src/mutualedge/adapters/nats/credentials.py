"""Decentralised NATS credentials: who may call whom, as signed tokens and no central database.

The consortium's operator key signs one token per enterprise account; an account key signs the
tokens of its users and one *activation* per partner it lets call it. Every enterprise offers
``me.in.>`` and sees partner X's offer as ``me.at.X.>``; without X's activation there is no way.

Pure: keys are made from 32-byte seeds, instants are arguments.

Source: https://github.com/nats-io/jwt, version 2 claims; https://docs.nats.io (ADR-14).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mutualedge.adapters.nats.nkeys import Nkey, Role, parse_public
from mutualedge.errors import PeerError
from mutualedge.model import NS_PER_S, UNREADABLE, EnterpriseId
from mutualedge.signing import canonical_bytes, signature_is_valid

SERVICE_SUBJECT = "me.in.>"
"""What an enterprise answers for its partners; everything else of it is unreachable."""

LEAF_CONNECTIONS_MAX = 4
"""Servers one enterprise may link to the hub: a pair, and a pair during their replacement."""

CLIENT_CONNECTIONS_MAX = 16
"""Processes that may connect to the hub's own listener under one account."""

PARTNERS_MAX = 256
"""Imports of one account; the whole consortium is smaller."""

TOKEN_BYTES_MAX = 16_384
"""An activation is under 1 KiB; anything this long is not one."""

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_CLAIMS_VERSION = 2
_UNLIMITED = -1
_TOKEN_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """An enterprise whose service an account may call, and that enterprise's leave to do so."""

    name: EnterpriseId
    account: str
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Validity:
    now_ns: int
    lifetime_ns: int | None = None


class _Activation(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    kind: str
    type: str


class _ActivationClaims(msgspec.Struct, frozen=True, kw_only=True):
    iss: str
    sub: str
    exp: int
    nats: _Activation


def partner_subject(partner: EnterpriseId, name: str) -> str:
    """Return the local subject under which a partner's service is called."""
    return f"me.at.{partner}.{name}"


def operator_token(operator: Nkey, *, consortium: str, now_ns: int) -> str:
    """Return the self-signed token every server of the consortium trusts."""
    claims = {"type": "operator"}
    return _token(operator, operator.public, consortium, claims, _Validity(now_ns=now_ns))


def account_token(
    operator: Nkey, *, account: str, name: EnterpriseId, partners: Sequence[Partner], now_ns: int
) -> str:
    """Return the operator's token that lets an enterprise in and names whom it may call.

    Args:
        operator: The consortium's key.
        account: Public key of the enterprise's account.
        name: The enterprise.
        partners: Whom it may call; the server checks each activation again at every call.
        now_ns: Nanoseconds since 1970.

    Raises:
        UsageError: A public key is misspelt.
    """
    parse_public(account, Role.ACCOUNT)
    assert len(partners) <= PARTNERS_MAX, "the consortium limits its members before this"
    export = {
        "name": "service",
        "subject": SERVICE_SUBJECT,
        "type": "service",
        "token_req": True,
        "response_type": "Singleton",
    }
    claims = {
        "type": "account",
        "exports": [export],
        "imports": [_import_of(partner) for partner in partners],
        "limits": {
            "subs": _UNLIMITED,
            "data": _UNLIMITED,
            "payload": _UNLIMITED,
            "imports": PARTNERS_MAX,
            "exports": 1,
            "wildcards": True,
            "conn": CLIENT_CONNECTIONS_MAX,
            "leaf": LEAF_CONNECTIONS_MAX,
        },
    }
    return _token(operator, account, name, claims, _Validity(now_ns=now_ns))


def activation_token(exporter: Nkey, *, importer: str, now_ns: int, lifetime_ns: int) -> str:
    """Return the exporting account's leave for one other account to call its service.

    Raises:
        UsageError: The importer's public key is misspelt.
    """
    parse_public(importer, Role.ACCOUNT)
    claims = {"type": "activation", "subject": SERVICE_SUBJECT, "kind": "service"}
    validity = _Validity(now_ns=now_ns, lifetime_ns=lifetime_ns)
    return _token(exporter, importer, "call", claims, validity)


def verify_activation(token: str, exporter: str, importer: str, now_ns: int) -> None:
    """Return if the token is the exporter's leave for the importer, now.

    The hub checks before it signs an account token: the server would accept a bad one and fail
    at the first call, or at its next start.

    Raises:
        PeerError: Malformed, forged, expired, or for somebody or something else.
        UsageError: The exporter's public key is misspelt.
    """
    claims = _verified_claims(token, parse_public(exporter, Role.ACCOUNT))
    leave = (claims.nats.type, claims.nats.kind, claims.nats.subject)
    if (claims.iss, claims.sub) != (exporter, importer) or leave != (
        "activation",
        "service",
        SERVICE_SUBJECT,
    ):
        sentence = f"The activation does not let {importer} call {exporter}; ask for another."
        raise PeerError("nats.activation.other", sentence)
    if claims.exp * NS_PER_S <= now_ns:
        sentence = f"The activation by {exporter} has expired; ask for another."
        raise PeerError("nats.activation.expired", sentence)


def leaf_user_token(account: Nkey, *, user: str, name: str, now_ns: int, lifetime_ns: int) -> str:
    """Return the token with which an enterprise's server links to the hub, and only that.

    It can send calls and replies, and receive calls and replies; nothing of its local traffic
    can pass in either direction, even if its own server forwarded it.
    """
    permissions = {
        "pub": {"allow": ["me.at.>", "_R_.>"]},
        "sub": {"allow": [SERVICE_SUBJECT, "_INBOX.>"]},
        "allowed_connection_types": ["LEAFNODE"],
    }
    validity = _Validity(now_ns=now_ns, lifetime_ns=lifetime_ns)
    return _user_token(account, user, name, permissions, validity)


def client_user_token(account: Nkey, *, user: str, name: str, now_ns: int, lifetime_ns: int) -> str:
    """Return the token of a process that connects to the hub's own listener."""
    permissions = {
        "pub": {"allow": ["me.at.>"]},
        "sub": {"allow": [SERVICE_SUBJECT, "_INBOX.>"]},
        "resp": {"max": 1, "ttl": 0},
        "allowed_connection_types": ["STANDARD"],
    }
    validity = _Validity(now_ns=now_ns, lifetime_ns=lifetime_ns)
    return _user_token(account, user, name, permissions, validity)


def credentials_text(token: str, user: Nkey) -> str:
    """Return the ``.creds`` file of a user: a secret, to be kept readable by its owner only."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed_text}\n------END USER NKEY SEED------\n"
    )


def _import_of(partner: Partner) -> dict[str, str]:
    parse_public(partner.account, Role.ACCOUNT)
    return {
        "name": partner.name,
        "subject": SERVICE_SUBJECT,
        "local_subject": partner_subject(partner.name, ">"),
        "account": partner.account,
        "token": partner.activation,
        "type": "service",
    }


def _user_token(
    account: Nkey, user: str, name: str, permissions: Mapping[str, object], validity: _Validity
) -> str:
    parse_public(user, Role.USER)
    limits = {"subs": _UNLIMITED, "data": _UNLIMITED, "payload": _UNLIMITED}
    return _token(account, user, name, {"type": "user", **limits, **permissions}, validity)


def _token(
    issuer: Nkey, subject: str, name: str, nats: Mapping[str, object], validity: _Validity
) -> str:
    claims: dict[str, object] = {
        "iat": validity.now_ns // NS_PER_S,
        "iss": issuer.public,
        "name": name,
        "nats": {**nats, "version": _CLAIMS_VERSION},
        "sub": subject,
    }
    if validity.lifetime_ns is not None:
        claims["exp"] = (validity.now_ns + validity.lifetime_ns) // NS_PER_S
    claims["jti"] = base64.b32encode(hashlib.sha256(canonical_bytes(claims)).digest()).decode()
    signed = f"{_base64url(canonical_bytes(_HEADER))}.{_base64url(canonical_bytes(claims))}"
    return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _verified_claims(token: str, issuer: bytes) -> _ActivationClaims:
    parts = token.split(".")
    if len(parts) != _TOKEN_PARTS or len(token) > TOKEN_BYTES_MAX:
        raise PeerError(
            "nats.activation.malformed", "The activation is not a token; copy it whole."
        )
    try:
        header, claims, signature = (
            base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
            for part in parts
        )
        kind = msgspec.json.decode(header, type=dict[str, str])
        parsed = msgspec.json.decode(claims, type=_ActivationClaims)
    except (*UNREADABLE, ValueError) as error:
        sentence = "The activation is not a NATS token; copy it whole."
        raise PeerError("nats.activation.malformed", sentence) from error
    signed = token.rpartition(".")[0].encode()
    if kind != _HEADER or not signature_is_valid(issuer, signature, signed):
        sentence = "The activation is not signed by the account it names; ask for another."
        raise PeerError("nats.activation.forged", sentence)
    return parsed
