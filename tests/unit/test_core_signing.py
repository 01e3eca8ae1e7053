"""Signing: one spelling of a record, signatures over exact bytes and type, entropy that forgets."""

from hashlib import sha256

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.meter import StatementLine
from mutualedge.model import Digest, KeyId, Microcredits
from mutualedge.signing import (
    Entropy,
    Envelope,
    Signature,
    SigningKey,
    canonical_bytes,
    countersign,
    digest_of,
    key_id_of,
    media_type,
    parse_canonical,
    pre_authentication_encoding,
    sign_record,
    signature_is_valid,
    signed_only_by,
    valid_signers,
    verify_record,
    verify_signature,
)

LINE = StatementLine(
    meter=KeyId("ab" * 32),
    through_seq=3,
    head=Digest("cd" * 32),
    total_microcredits=Microcredits(1500),
)
RAW = canonical_bytes(LINE)
ALICE, BOB = (SigningKey(sha256(name).digest()) for name in (b"alice", b"bob"))


def code_of_parsing(raw: bytes) -> str:
    with pytest.raises(PeerError) as refused:
        parse_canonical(raw, StatementLine)
    return refused.value.code


def code_of_verifying(envelope: Envelope, *keys: SigningKey) -> str:
    with pytest.raises(PeerError) as refused:
        verify_record(envelope, StatementLine, *(key.public_bytes for key in keys))
    return refused.value.code


def test_canonical_bytes_are_sorted_and_compact() -> None:
    """Keys in order, no space, integers plain: the form everybody else can reproduce."""
    assert RAW == (
        b'{"head":"' + b"cd" * 32 + b'","meter":"' + b"ab" * 32 + b'",'
        b'"through_seq":3,"total_microcredits":1500}'
    )
    assert parse_canonical(RAW, StatementLine) == LINE


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b'"through_seq":3', b'"through_seq":3,"through_seq":3'),
        RAW.replace(b'"through_seq":3', b'"through_seq":9,"through_seq":3'),
        RAW.replace(b":3", b": 3"),
        RAW + b"\n",
        b" " + RAW,
        RAW.replace(b'"head"', b'"\\u0068ead"'),
        b"{" + b",".join(reversed(RAW[1:-1].split(b","))) + b"}",
    ],
    ids=["twice", "twice-differing", "space", "newline", "leading-space", "escape", "order"],
)
def test_another_spelling_is_refused(raw: bytes) -> None:
    """What decodes to the same value in other bytes could carry what nobody signed."""
    assert msgspec.json.decode(raw, type=StatementLine) == LINE
    assert code_of_parsing(raw) == "signing.json.not-canonical"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        RAW[:-1],
        RAW.replace(b":3", b":-3"),
        RAW.replace(b":3", b":3.5"),
        RAW.replace(b":3", b":9007199254740992"),
        RAW.replace(b"}", b',"more":1}'),
        RAW.replace(b"ab" * 32, b"AB" * 32),
        RAW.replace(b'"ab', b'"\xffb'),
    ],
    ids=["empty", "list", "noise", "cut", "minus", "float", "2^53", "unknown", "case", "utf-8"],
)
def test_what_is_no_such_record_is_refused(raw: bytes) -> None:
    """Wrong types, ranges, names and unknown fields end in one code."""
    assert code_of_parsing(raw) == "signing.json.malformed"


def test_a_signed_record_verifies() -> None:
    """Everyone who had to sign did; others may have signed too."""
    envelope = sign_record(LINE, ALICE, BOB)
    keys = (ALICE.public_bytes, BOB.public_bytes)
    assert verify_record(envelope, StatementLine, *keys) == LINE
    assert verify_record(envelope, StatementLine, keys[1]) == LINE
    assert envelope.payload_digest == digest_of(RAW) == sha256(RAW).hexdigest()


def test_every_demanded_signature_counts() -> None:
    """One signature too few is none."""
    assert code_of_verifying(sign_record(LINE, ALICE), ALICE, BOB) == "signing.envelope.unsigned"


def test_a_type_cannot_be_swapped() -> None:
    """Bytes signed as one kind of record are not accepted as another."""
    envelope = msgspec.structs.replace(sign_record(LINE, ALICE), payload_type=media_type(Envelope))
    assert code_of_verifying(envelope, ALICE) == "signing.envelope.type"
    renamed = msgspec.structs.replace(envelope, payload_type=media_type(StatementLine))
    assert verify_record(renamed, StatementLine, ALICE.public_bytes) == LINE


def test_a_type_is_signed_with_the_bytes() -> None:
    """A signature over the same bytes under another type does not verify."""
    envelope = sign_record(LINE, ALICE)
    message = pre_authentication_encoding("application/other", envelope.payload)
    assert not signature_is_valid(ALICE.public_bytes, envelope.signatures[0].sig, message)


def test_altered_bytes_are_unsigned() -> None:
    """One microcredit more and the signature is gone."""
    envelope = sign_record(LINE, ALICE)
    dear = msgspec.structs.replace(envelope, payload=envelope.payload.replace(b"1500", b"1501"))
    assert code_of_verifying(dear, ALICE) == "signing.envelope.unsigned"


def test_a_key_id_alone_signs_nothing() -> None:
    """Somebody else's signature under the demanded key's name does not count."""
    (signature,) = sign_record(LINE, BOB).signatures
    forged = msgspec.structs.replace(signature, keyid=ALICE.key_id)
    envelope = msgspec.structs.replace(sign_record(LINE), signatures=(forged,))
    assert code_of_verifying(envelope, ALICE) == "signing.envelope.unsigned"
    assert valid_signers(envelope, {ALICE.key_id: ALICE.public_bytes}) == ()


def test_a_bad_signature_hides_no_good_one() -> None:
    """A stranger cannot spoil an envelope by adding noise under the signer's name."""
    envelope = sign_record(LINE, ALICE)
    noise = msgspec.structs.replace(envelope.signatures[0], sig=bytes(64))
    spoiled = msgspec.structs.replace(envelope, signatures=(noise, *envelope.signatures))
    assert verify_record(spoiled, StatementLine, ALICE.public_bytes) == LINE


def test_signed_but_not_canonical_is_refused() -> None:
    """A signature does not excuse a second spelling."""
    envelope = countersign(
        Envelope(payload=RAW + b" ", payload_type=media_type(StatementLine), signatures=()), ALICE
    )
    assert code_of_verifying(envelope, ALICE) == "signing.json.not-canonical"


def test_a_countersignature_is_added_once() -> None:
    """Signing again changes nothing, so that a repeated reply is the same bytes."""
    envelope = countersign(sign_record(LINE, ALICE), BOB)
    assert countersign(countersign(envelope, ALICE), BOB) == envelope
    assert [each.keyid for each in envelope.signatures] == [ALICE.key_id, BOB.key_id]


def noise_of(keyid: str) -> Signature:
    return Signature(keyid=KeyId(keyid), sig=bytes(64))


def test_noise_in_our_name_is_not_taken_for_our_signature() -> None:
    """Whoever asks us to sign may have written anything under our key's name, even twice."""
    noise = noise_of(BOB.key_id)
    asked = msgspec.structs.replace(
        sign_record(LINE, ALICE), signatures=(noise, *sign_record(LINE, ALICE).signatures, noise)
    )
    signed = countersign(asked, BOB)
    assert verify_record(signed, StatementLine, ALICE.public_bytes, BOB.public_bytes) == LINE
    assert [each.keyid for each in signed.signatures] == [BOB.key_id, ALICE.key_id]


def test_only_signatures_that_count_are_kept() -> None:
    """Strangers' signatures, noise and repetitions are dropped; the order is the keys'."""
    clean = sign_record(LINE, ALICE, BOB)
    first, second = clean.signatures
    noise = (noise_of(ALICE.key_id), noise_of("1" * 64))
    stranger = sign_record(LINE, SigningKey(b"c" * 32)).signatures
    spoiled = msgspec.structs.replace(
        clean, signatures=(*noise, second, *stranger, first, second, first)
    )
    assert signed_only_by(spoiled, ALICE.public_bytes, BOB.public_bytes) == clean
    assert signed_only_by(spoiled, ALICE.public_bytes) == sign_record(LINE, ALICE)


def test_who_did_not_sign_is_not_kept_as_a_signer() -> None:
    """A missing signature is one no cleaning brings back."""
    noise = msgspec.structs.replace(sign_record(LINE, ALICE), signatures=(noise_of(BOB.key_id),))
    with pytest.raises(PeerError) as refused:
        signed_only_by(noise, BOB.public_bytes)
    assert refused.value.code == "signing.envelope.unsigned"


def test_pre_authentication_is_the_standards() -> None:
    """The example of DSSE's protocol text."""
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_keys_are_ed25519_by_the_book() -> None:
    """RFC 8032, section 7.1, test 1: the seed, the public key, the empty message's signature."""
    key = SigningKey(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert key.public_bytes.hex().startswith("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325")
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e0")
    assert key.key_id == key_id_of(key.public_bytes) == sha256(key.public_bytes).hexdigest()


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33), bytes(32), b"\xff" * 32])
def test_a_malformed_key_signed_nothing(public: bytes) -> None:
    """Whatever stands in the key's place, the answer is no, never an exception."""
    assert signature_is_valid(public, ALICE.sign(b"x"), b"x") is False


def test_a_wrong_signature_names_the_thing() -> None:
    """The error says what was signed badly, for whoever has to look for it."""
    with pytest.raises(PeerError, match="the trust file") as refused:
        verify_signature(ALICE.public_bytes, bytes(64), b"x", what="the trust file")
    assert refused.value.code == "signing.signature.invalid"


def test_what_was_valid_once_is_not_valid_for_others() -> None:
    """The memory of verified signatures holds key, signature and message together."""
    signature = ALICE.sign(b"pay 1")
    assert signature_is_valid(ALICE.public_bytes, signature, b"pay 1")
    assert not signature_is_valid(ALICE.public_bytes, signature, b"pay 2")
    assert not signature_is_valid(BOB.public_bytes, signature, b"pay 1")


def test_entropy_repeats_from_its_seed_only() -> None:
    """Equal seeds give equal streams of different draws; another seed another stream."""
    first, again, other = Entropy(bytes(32)), Entropy(bytes(32)), Entropy(bytes(31) + b"\1")
    drawn = [first.draw() for _ in range(4)]
    assert drawn == [again.draw() for _ in range(4)]
    assert len({*drawn, other.draw()}) == 5
    assert {len(each) for each in drawn} == {32}


def test_entropy_forgets_what_it_gave() -> None:
    """Nobody who reads the state afterwards finds an earlier draw in it, or derives one."""
    entropy = Entropy(bytes(32))
    first = entropy.draw()
    state = entropy._state
    assert first != state
    assert first not in {sha256(state).digest(), sha256(b"mutualedge/entropy/out" + state).digest()}


def test_entropy_wants_a_whole_seed() -> None:
    """A short seed is our own mistake and is told at once."""
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Entropy(bytes(31))
