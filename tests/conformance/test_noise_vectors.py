"""The handshake agrees byte for byte with two independent implementations of Noise."""

import hashlib
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mutualedge.session import Initiator, Responder

FOLDER = Path(__file__).with_name("noise")


class Message(msgspec.Struct, forbid_unknown_fields=True):
    payload: str
    ciphertext: str


class Recorded(msgspec.Struct, forbid_unknown_fields=True):
    payload_bytes: int
    ciphertext_sha256: str


class Keys(msgspec.Struct):
    init_prologue: str
    init_static: str
    init_ephemeral: str
    resp_static: str
    resp_ephemeral: str
    handshake_hash: str

    def ends(self) -> tuple[Initiator, Responder]:
        prologue = bytes.fromhex(self.init_prologue)
        initiator = Initiator(
            prologue=prologue,
            static_private=bytes.fromhex(self.init_static),
            ephemeral_private=bytes.fromhex(self.init_ephemeral),
        )
        responder = Responder(
            prologue=prologue,
            static_private=bytes.fromhex(self.resp_static),
            ephemeral_private=bytes.fromhex(self.resp_ephemeral),
        )
        return initiator, responder


class Official(Keys):
    messages: tuple[Message, ...]


class Frozen(Keys):
    messages: tuple[Recorded, ...]


class FrozenFile(msgspec.Struct):
    vectors: tuple[Frozen, ...]


OFFICIAL = msgspec.json.decode((FOLDER / "noise_c.json").read_bytes(), type=Official)
FROZEN = msgspec.json.decode((FOLDER / "noiseprotocol.json").read_bytes(), type=FrozenFile).vectors


def exchanged(keys: Keys, payloads: list[bytes]) -> tuple[list[bytes], tuple[bytes, bytes]]:
    """Return the three messages and the keys of both directions, having checked every payload."""
    initiator, responder = keys.ends()
    first = initiator.write_message_1(payloads[0])
    assert responder.read_message_1(first) == payloads[0]
    second = responder.write_message_2(payloads[1])
    assert initiator.read_message_2(second) == payloads[1]
    third = initiator.write_message_3(payloads[2])
    assert responder.read_message_3(third) == payloads[2]
    assert initiator._symmetric.hash == responder._symmetric.hash
    assert initiator._symmetric.hash.hex() == keys.handshake_hash
    assert initiator._symmetric.split() == responder._symmetric.split()
    return [first, second, third], initiator._symmetric.split()


def transported(key: bytes, number: int, payload: bytes) -> bytes:
    """Return what Noise's own transport sends; our records use the same keys differently."""
    return AESGCM(key).encrypt(number.to_bytes(12, "big"), payload, b"")


def test_official_vector() -> None:
    """Every byte of noise-c's XX vector, transport keys included, comes out of our handshake."""
    payloads = [bytes.fromhex(message.payload) for message in OFFICIAL.messages]
    messages, (to_responder, to_initiator) = exchanged(OFFICIAL, payloads)
    # noise-c lets the responder speak first once the handshake is over.
    for index, payload in enumerate(payloads[3:]):
        key = to_responder if index % 2 else to_initiator
        messages.append(transported(key, index // 2, payload))
    assert [message.hex() for message in messages] == [
        message.ciphertext for message in OFFICIAL.messages
    ]


@pytest.mark.parametrize("number", range(len(FROZEN)))
def test_recorded_vectors(number: int) -> None:
    """Messages recorded from another Python implementation come out the same, at every size."""
    vector = FROZEN[number]
    payloads = [
        (hashlib.sha256(f"{number}{index}".encode()).digest() * 2100)[: message.payload_bytes]
        for index, message in enumerate(vector.messages)
    ]
    messages, (to_responder, to_initiator) = exchanged(vector, payloads)
    messages.append(transported(to_initiator, 0, payloads[3]))
    messages.append(transported(to_responder, 0, payloads[4]))
    assert [hashlib.sha256(message).hexdigest() for message in messages] == [
        message.ciphertext_sha256 for message in vector.messages
    ]
