"""The handshake ``Noise_XX_25519_AESGCM_SHA256``, with the hash that evidence binds to.

Source: The Noise Protocol Framework, revision 34 (2018-07-11); section numbers below are its.

    message 1  ->  e
    message 2  <-  e, ee, s, es     payload: evidence over ``evidence_hash``
    message 3  ->  s, se            payload: the requester's first secret

Nothing secret leaves the initiator before it has appraised what message 2 carries. Keys come as
arguments, so the same keys give the same messages: never use an ephemeral key twice.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mutualedge.errors import PeerError, UsageError
from mutualedge.session.records import Direction, SessionKeys, session_keys

PROTOCOL_NAME = b"Noise_XX_25519_AESGCM_SHA256"
MESSAGE_BYTES_MAX = 65_535
"""Section 3: a Noise message is at most 65535 bytes."""

KEY_BYTES = 32
TAG_BYTES = 16
SPLIT_STEP = 4
"""After three messages; a step that failed half-way leaves the count at -1, for good."""

_EMPTY = b""


class SymmetricState:
    """Chaining key, transcript hash and cipher of a running handshake (section 5.2)."""

    def __init__(self, prologue: bytes) -> None:
        """Start from the protocol's name, padded to hash length, and the prologue."""
        self.hash = PROTOCOL_NAME.ljust(hashlib.sha256().digest_size, b"\x00")
        self._chaining_key = self.hash
        self._cipher: AESGCM | None = None
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        """Take public bytes into the transcript."""
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, shared: bytes) -> None:
        """Take a Diffie-Hellman result into the chaining key; the cipher starts afresh."""
        self._chaining_key, key = derive_pair(self._chaining_key, shared)
        self._cipher = AESGCM(key)
        self._nonce = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Return the ciphertext under the transcript so far, or the plaintext before any key."""
        sealed = plaintext
        if self._cipher is not None:
            sealed = self._cipher.encrypt(self._next_nonce(), plaintext, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """Return what ``encrypt_and_hash`` took, if both transcripts are the same.

        Raises:
            PeerError: Altered, or made in another handshake.
        """
        plaintext = sealed
        if self._cipher is not None:
            try:
                plaintext = self._cipher.decrypt(self._next_nonce(), sealed, self.hash)
            except InvalidTag as error:
                sentence = "The handshake message was altered, or is of another handshake."
                raise PeerError("session.handshake.forged", sentence) from error
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """Return the keys of the two directions, the initiator's first."""
        return derive_pair(self._chaining_key, _EMPTY)

    def export(self, label: bytes) -> bytes:
        """Return 32 secret bytes for another use than records; both ends get the same."""
        extracted = hmac.digest(self.hash, self._chaining_key, "sha256")
        return hmac.digest(extracted, b"me-session/1 " + label + b"\x01", "sha256")

    def _next_nonce(self) -> bytes:
        """Return 32 zero bits and the counter, big-endian (section 12.4)."""
        self._nonce += 1
        return (self._nonce - 1).to_bytes(12, "big")


def derive_pair(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Return the two outputs of Noise's HKDF (section 4.3)."""
    extracted = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(extracted, b"\x01", "sha256")
    return first, hmac.digest(extracted, first + b"\x02", "sha256")


class _Party:
    """What both roles hold; each public method is one step, in one order, once.

    Attributes:
        _peer_proved_step: Step after which the peer has proved to hold its static key.
        _direction: Which way this end's records travel.
    """

    _peer_proved_step: int
    _direction: Direction

    def __init__(self, *, prologue: bytes, static_private: bytes, ephemeral_private: bytes) -> None:
        """Take what both ends know already and this end's two private keys.

        Args:
            prologue: Bytes that must be the same at both ends (``handshake_prologue``).
            static_private: 32 bytes, for this process's life.
            ephemeral_private: 32 fresh secret bytes, for this handshake only.
        """
        self._symmetric = SymmetricState(prologue)
        self._static = X25519PrivateKey.from_private_bytes(static_private)
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_private)
        self._peer_ephemeral = _EMPTY
        self._peer_static = _EMPTY
        self._evidence_hash = _EMPTY
        self._steps_done = 0

    @property
    def evidence_hash(self) -> bytes:
        """Transcript hash at the moment message 2's payload is encrypted.

        It covers the prologue, both ephemeral keys and the responder's static key: evidence bound
        to it was made in this handshake, for this responder.
        """
        if not self._evidence_hash:
            raise _out_of_order("the evidence hash")
        return self._evidence_hash

    @property
    def peer_static(self) -> bytes:
        """The other end's static public key, once it has proved to hold the private one."""
        if not self._peer_static or self._steps_done < self._peer_proved_step:
            raise _out_of_order("the peer's static key")
        return self._peer_static

    def split(self) -> SessionKeys:
        """Return this end's record layer and the session secret, once.

        Raises:
            UsageError: The handshake is not finished, failed, or was split already.
        """
        self._begin_step(SPLIT_STEP, "split")
        to_responder, to_initiator = self._symmetric.split()
        keys = session_keys(
            to_responder=to_responder,
            to_initiator=to_initiator,
            sends=self._direction,
            session=self._symmetric.export(b"session")[:8],
            secret=self._symmetric.export(b"content"),
        )
        self._end_step(SPLIT_STEP)
        return keys

    def export(self, label: bytes) -> bytes:
        """Return 32 secret bytes that both ends derive from a finished handshake.

        Raises:
            UsageError: The handshake is not finished.
        """
        if self._steps_done < SPLIT_STEP - 1:
            raise _out_of_order("export")
        return self._symmetric.export(b"export " + label)

    def _begin_step(self, number: int, what: str) -> None:
        """Allow a step once; one that fails half-way leaves the handshake dead."""
        if self._steps_done != number - 1:
            raise _out_of_order(what)
        self._steps_done = -1

    def _end_step(self, number: int) -> None:
        self._steps_done = number

    def _mix_shared(self, private: X25519PrivateKey, public: bytes) -> None:
        try:
            shared = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            sentence = "The peer sent a public key of low order, which no honest peer has."
            raise PeerError("session.handshake.key", sentence) from error
        self._symmetric.mix_key(shared)

    def _mix_own_ephemeral(self) -> bytes:
        public = self._ephemeral.public_key().public_bytes_raw()
        self._symmetric.mix_hash(public)
        return public

    def _own_static(self) -> bytes:
        return self._symmetric.encrypt_and_hash(self._static.public_key().public_bytes_raw())


class Initiator(_Party):
    """The requester's end; asks for evidence before it says anything."""

    _peer_proved_step = 2
    _direction = Direction.TO_RESPONDER

    def write_message_1(self, payload: bytes = _EMPTY) -> bytes:
        """Return message 1; its payload is readable by everyone."""
        self._begin_step(1, "message 1")
        message = _bounded(self._mix_own_ephemeral() + self._symmetric.encrypt_and_hash(payload))
        self._end_step(1)
        return message

    def read_message_2(self, message: bytes) -> bytes:
        """Return the payload that must hold evidence over ``evidence_hash``.

        Raises:
            PeerError: Altered, cut, too long, or of another handshake.
        """
        self._begin_step(2, "message 2")
        _verify_length(message, 2 * KEY_BYTES + 2 * TAG_BYTES)
        sealed_at = 2 * KEY_BYTES + TAG_BYTES
        self._peer_ephemeral = message[:KEY_BYTES]
        self._symmetric.mix_hash(self._peer_ephemeral)
        self._mix_shared(self._ephemeral, self._peer_ephemeral)
        self._peer_static = self._symmetric.decrypt_and_hash(message[KEY_BYTES:sealed_at])
        self._mix_shared(self._ephemeral, self._peer_static)
        self._evidence_hash = self._symmetric.hash
        payload = self._symmetric.decrypt_and_hash(message[sealed_at:])
        self._end_step(2)
        return payload

    def write_message_3(self, payload: bytes) -> bytes:
        """Return message 3; call it only once the evidence was appraised."""
        self._begin_step(3, "message 3")
        sealed_static = self._own_static()
        self._mix_shared(self._static, self._peer_ephemeral)
        message = _bounded(sealed_static + self._symmetric.encrypt_and_hash(payload))
        self._end_step(3)
        return message


class Responder(_Party):
    """The runner's end; it knows ``evidence_hash`` before it writes message 2."""

    _peer_proved_step = 3
    _direction = Direction.TO_INITIATOR

    def __init__(self, *, prologue: bytes, static_private: bytes, ephemeral_private: bytes) -> None:
        """Take what ``Initiator`` takes."""
        super().__init__(
            prologue=prologue, static_private=static_private, ephemeral_private=ephemeral_private
        )
        self._message_2 = _EMPTY

    def read_message_1(self, message: bytes) -> bytes:
        """Return its payload, which anyone may have written; then ``evidence_hash`` is known.

        Raises:
            PeerError: Cut, too long, or a key no honest peer has.
        """
        self._begin_step(1, "message 1")
        _verify_length(message, KEY_BYTES)
        self._peer_ephemeral = message[:KEY_BYTES]
        self._symmetric.mix_hash(self._peer_ephemeral)
        payload = self._symmetric.decrypt_and_hash(message[KEY_BYTES:])
        # e, ee, s, es: all of message 2 but its payload, which needs the hash up to here.
        own_ephemeral = self._mix_own_ephemeral()
        self._mix_shared(self._ephemeral, self._peer_ephemeral)
        self._message_2 = own_ephemeral + self._own_static()
        self._mix_shared(self._static, self._peer_ephemeral)
        self._evidence_hash = self._symmetric.hash
        self._end_step(1)
        return payload

    def write_message_2(self, payload: bytes) -> bytes:
        """Return message 2 around evidence over ``evidence_hash``."""
        self._begin_step(2, "message 2")
        message = _bounded(self._message_2 + self._symmetric.encrypt_and_hash(payload))
        self._end_step(2)
        return message

    def read_message_3(self, message: bytes) -> bytes:
        """Return the initiator's payload; its static key is proved from here on.

        Raises:
            PeerError: Altered, cut, too long, or of another handshake.
        """
        self._begin_step(3, "message 3")
        _verify_length(message, KEY_BYTES + 2 * TAG_BYTES)
        sealed_at = KEY_BYTES + TAG_BYTES
        self._peer_static = self._symmetric.decrypt_and_hash(message[:sealed_at])
        self._mix_shared(self._ephemeral, self._peer_static)
        payload = self._symmetric.decrypt_and_hash(message[sealed_at:])
        self._end_step(3)
        return payload


def _verify_length(message: bytes, least: int) -> None:
    if not least <= len(message) <= MESSAGE_BYTES_MAX:
        sentence = (
            f"A handshake message of {len(message)} bytes arrived; "
            f"this one has {least} to {MESSAGE_BYTES_MAX}."
        )
        raise PeerError("session.handshake.length", sentence)


def _bounded(message: bytes) -> bytes:
    if len(message) > MESSAGE_BYTES_MAX:
        sentence = f"A handshake message holds {MESSAGE_BYTES_MAX} bytes; the payload is too long."
        raise UsageError("session.handshake.oversize", sentence)
    return message


def _out_of_order(what: str) -> UsageError:
    sentence = f"The handshake is not at {what}: out of order, repeated, or it failed. Start anew."
    return UsageError("session.handshake.order", sentence)
