"""What the chip vendor publishes beside a quote, and the days on which it may be relied on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from cryptography import x509

from mutualedge.errors import AttestationFailed
from mutualedge.model import NS_PER_S, UNREADABLE

T = TypeVar("T")

COLLATERAL_REMEMBERED = 8
"""A partner's platforms send the same papers with every session, for weeks."""


class Collateral(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Intel's collateral, version 3; lists and signatures in hexadecimal.

    The two signed JSON texts are kept as text: their signatures are over these very bytes.
    """

    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str


class Bulletin(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The fields we read of either signed text; the verifying library reads the others.

    Attributes:
        tcb_evaluation_data_number: Grows when Intel re-evaluates; a lower one is a rollback.
    """

    issue_date: Annotated[datetime, msgspec.Meta(tz=True)]
    next_update: Annotated[datetime, msgspec.Meta(tz=True)]
    tcb_evaluation_data_number: int


@lru_cache(maxsize=COLLATERAL_REMEMBERED)
def parse_collateral(raw: bytes) -> Collateral:
    """Return collateral in the JSON form that Intel's library and its bindings share.

    Raises:
        AttestationFailed: Something else, or with more fields than those.
    """
    return _decoded(raw, Collateral, "The collateral")


@lru_cache(maxsize=COLLATERAL_REMEMBERED)
def parse_bulletins(collateral: Collateral) -> tuple[Bulletin, Bulletin]:
    """Return dates and number of TCB information and of enclave identity.

    Raises:
        AttestationFailed: One of them is not what it should be.
    """
    return (
        _decoded(collateral.tcb_info.encode(), Bulletin, "The TCB information"),
        _decoded(collateral.qe_identity.encode(), Bulletin, "The enclave identity"),
    )


def verify_in_date(collateral: Collateral, now_s: int) -> None:
    """Return if today lies within the dates of both bulletins and both revocation lists.

    Raises:
        AttestationFailed: One of them is not valid yet or any more, or is no revocation list.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    for name, since, until in _dates(collateral):
        if now < since:
            sentence = f"The {name} is valid from {since:%Y-%m-%d %H:%M} UTC; check the clocks."
            raise AttestationFailed("attest.collateral.not-yet-valid", sentence)
        if now > until:
            sentence = (
                f"The {name} expired on {until:%Y-%m-%d %H:%M} UTC; "
                "the provider must fetch new collateral."
            )
            raise AttestationFailed("attest.collateral.expired", sentence)


def collateral_ends_ns(raw: bytes) -> int:
    """Return when the first part of collateral expires.

    Raises:
        AttestationFailed: It cannot be read.
    """
    ends = [until for _, _, until in _dates(parse_collateral(raw))]
    return int(min(ends).timestamp()) * NS_PER_S


@lru_cache(maxsize=COLLATERAL_REMEMBERED)
def _dates(collateral: Collateral) -> tuple[tuple[str, datetime, datetime], ...]:
    return tuple(_windows(collateral))


def _windows(collateral: Collateral) -> Iterator[tuple[str, datetime, datetime]]:
    info, identity = parse_bulletins(collateral)
    yield "TCB information", info.issue_date, info.next_update
    yield "enclave identity", identity.issue_date, identity.next_update
    yield _crl_window("root revocation list", collateral.root_ca_crl)
    yield _crl_window("platform revocation list", collateral.pck_crl)


def _crl_window(name: str, hexadecimal: str) -> tuple[str, datetime, datetime]:
    try:
        crl = x509.load_der_x509_crl(bytes.fromhex(hexadecimal))
    except ValueError as error:
        raise _malformed(f"The {name}", str(error)) from error
    until = crl.next_update_utc
    if until is None:
        raise _malformed(f"The {name}", "it does not say when the next one is due")
    return name, crl.last_update_utc, until


def _decoded(raw: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except UNREADABLE as error:
        raise _malformed(what, str(error)) from error


def _malformed(what: str, why: str) -> AttestationFailed:
    sentence = f"{what} cannot be read: {why}. The provider must fetch new collateral."
    return AttestationFailed("attest.collateral.malformed", sentence)
