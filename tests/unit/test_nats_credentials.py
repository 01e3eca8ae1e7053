import base64
import json

import msgspec
import pytest

from mutualedge.adapters.nats import (
    Nkey,
    Partner,
    Role,
    account_token,
    activation_token,
    client_user_token,
    credentials_text,
    leaf_user_token,
    operator_token,
    parse_public,
    verify_activation,
)
from mutualedge.errors import PeerError, UsageError
from mutualedge.model import NS_PER_S, EnterpriseId
from mutualedge.signing import signature_is_valid

NOW_NS = 1_800_000_000 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S
RAW = bytes(range(32))

# Made from the raw seed 00 01 … 1f with the nkeys package 0.2.1.
NKEYS_VECTORS = {
    Role.OPERATOR: (
        "SOAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2AJA",
        "OAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZVT",
    ),
    Role.ACCOUNT: (
        "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI",
        "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV",
    ),
    Role.USER: (
        "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y",
        "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK",
    ),
}

OPERATOR = Nkey(Role.OPERATOR, b"o" * 32)
BAKERY = Nkey(Role.ACCOUNT, b"b" * 32)
HARBOUR = Nkey(Role.ACCOUNT, b"h" * 32)
USER = Nkey(Role.USER, b"u" * 32)


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return msgspec.json.decode(raw, type=dict[str, object])


def activation(exporter: Nkey = HARBOUR, importer: Nkey = BAKERY) -> str:
    return activation_token(exporter, importer=importer.public, now_ns=NOW_NS, lifetime_ns=HOUR_NS)


def verify(token: str, *, now_ns: int = NOW_NS) -> None:
    verify_activation(token, exporter=HARBOUR.public, importer=BAKERY.public, now_ns=now_ns)


@pytest.mark.parametrize("role", Role)
def test_keys_are_written_as_the_reference_library_writes_them(role: Role) -> None:
    """Seed, public key and its parsed bytes agree with vectors of another implementation."""
    key = Nkey(role, RAW)
    assert (key.seed_text, key.public) == NKEYS_VECTORS[role]
    assert signature_is_valid(parse_public(key.public, role), key.sign(b"nonce"), b"nonce")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        BAKERY.public[:-1],
        BAKERY.public[:-1] + "?",
        BAKERY.public.lower(),
        BAKERY.public[:20] + ("A" if BAKERY.public[20] != "A" else "B") + BAKERY.public[21:],
        OPERATOR.public,
        BAKERY.seed_text,
    ],
)
def test_a_misspelt_or_foreign_key_is_refused(text: str) -> None:
    """Length, alphabet, checksum and role are all checked."""
    with pytest.raises(UsageError) as caught:
        parse_public(text, Role.ACCOUNT)
    assert caught.value.code == "nats.key.malformed"


def test_a_token_is_signed_by_its_issuer_over_header_and_claims() -> None:
    """The signature verifies under the issuer's key and breaks with any changed character."""
    token = operator_token(OPERATOR, consortium="test", now_ns=NOW_NS)
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    public = parse_public(OPERATOR.public, Role.OPERATOR)
    assert signature_is_valid(public, raw, signed.encode())
    assert not signature_is_valid(public, raw, signed.replace("e", "f", 1).encode())
    assert claims_of(token)["iss"] == claims_of(token)["sub"] == OPERATOR.public


def test_an_account_offers_one_subject_and_imports_each_partner_under_its_name() -> None:
    """The offer needs activation; partner harbour's subjects appear as me.at.harbour.>."""
    name = EnterpriseId("harbour")
    partner = Partner(name=name, account=HARBOUR.public, activation=activation())
    token = account_token(
        OPERATOR,
        account=BAKERY.public,
        name=EnterpriseId("bakery"),
        partners=[partner],
        now_ns=NOW_NS,
    )
    nats = claims_of(token)["nats"]
    assert isinstance(nats, dict)
    (export,), (imported,) = nats["exports"], nats["imports"]
    assert (export["subject"], export["token_req"]) == ("me.in.>", True)
    assert (imported["subject"], imported["local_subject"]) == ("me.in.>", "me.at.harbour.>")
    assert (imported["account"], imported["token"]) == (HARBOUR.public, partner.activation)


def test_a_user_may_connect_in_one_way_only_and_not_for_ever() -> None:
    """A stolen leaf credential does not serve as a client's, nor the other way round."""
    for make, kind in ((leaf_user_token, "LEAFNODE"), (client_user_token, "STANDARD")):
        token = make(BAKERY, user=USER.public, name="leaf", now_ns=NOW_NS, lifetime_ns=HOUR_NS)
        claims = claims_of(token)
        nats = claims["nats"]
        assert isinstance(nats, dict)
        assert nats["allowed_connection_types"] == [kind]
        assert ">" not in (*nats["pub"]["allow"], *nats["sub"]["allow"])
        assert claims["exp"] == (NOW_NS + HOUR_NS) // NS_PER_S


def test_tokens_are_deterministic() -> None:
    """The same arguments give the same bytes, so a hub rebuilt from records is the same hub."""
    assert activation() == activation()


def test_a_credentials_file_holds_the_token_and_the_seed() -> None:
    """Both stand on a line of their own, where NATS tools look for them."""
    lines = credentials_text("a.b.c", USER).splitlines()
    assert lines[lines.index("-----BEGIN NATS USER JWT-----") + 1] == "a.b.c"
    assert lines[lines.index("-----BEGIN USER NKEY SEED-----") + 1] == USER.seed_text


def test_a_valid_activation_verifies_until_it_expires() -> None:
    """The last nanosecond before its end is in time, its end is not."""
    verify(activation(), now_ns=NOW_NS + HOUR_NS - 1)
    with pytest.raises(PeerError) as caught:
        verify(activation(), now_ns=NOW_NS + HOUR_NS)
    assert caught.value.code == "nats.activation.expired"


def resigned(claims: dict[str, object]) -> str:
    """Return another token of the harbour's with these claims."""
    header, _, _ = activation().split(".")
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    signature = base64.urlsafe_b64encode(HARBOUR.sign(f"{header}.{body}".encode()))
    return f"{header}.{body}.{signature.decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "nats.activation.malformed"),
        ("a.b", "nats.activation.malformed"),
        ("a.b.c", "nats.activation.malformed"),
        ("{}.{}.{}", "nats.activation.malformed"),
        (activation() + "x" * 20_000, "nats.activation.malformed"),
        (resigned({"iss": 1}), "nats.activation.malformed"),
        (activation(exporter=BAKERY), "nats.activation.forged"),
        (activation()[:-4] + "AAAA", "nats.activation.forged"),
        (activation(importer=HARBOUR), "nats.activation.other"),
        (resigned(claims_of(activation()) | {"iss": BAKERY.public}), "nats.activation.other"),
        (
            resigned(
                claims_of(activation())
                | {"nats": {"type": "activation", "kind": "service", "subject": "me.>"}}
            ),
            "nats.activation.other",
        ),
    ],
)
def test_a_bad_activation_is_refused_with_its_reason(token: str, code: str) -> None:
    """Malformed, forged, and somebody else's leave are told apart."""
    with pytest.raises(PeerError) as caught:
        verify(token)
    assert caught.value.code == code
