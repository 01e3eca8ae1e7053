"""Function bundles: what runs, under which limits, and the one digest that names it.

The manifest's digest is to a function what MRENCLAVE is to an enclave: it covers every file,
limit and input the code gets. The vendor's key is the MRSIGNER. An unsigned bundle still has its
identity; whether a signature is required is the verifier's decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from mutualedge.errors import PeerError
from mutualedge.model import UNREADABLE, Count, Digest, HexDigest, KeyId
from mutualedge.signing import (
    Envelope,
    SigningKey,
    countersign,
    digest_of,
    key_id_of,
    media_type,
    parse_canonical,
    sign_record,
    verify_record,
)

FILES_MAX = 64
"""Files of one bundle: a module, its models, a calibration request."""

BUNDLE_BYTES_MAX = (4 << 20) - (1 << 16)
"""A bundle travels in one frame of 4 MiB; 64 KiB are left for what stands around it."""

FUEL_MAX = 10**11
"""Most fuel one call may be given: about a minute and a half at 10^9 a second."""

MEMORY_BYTES_MAX = 64 << 20
"""Most linear memory of one call: what the runner's address space has room for."""

CONTENT_BYTES_MAX = 256 * 1024
"""Largest request or response: what is carried inline (design section 7)."""

STACK_BYTES_MIN = 16 * 1024
STACK_BYTES_MAX = 512 * 1024
"""A function's stack lies on its thread's, which has 8 MiB; below the minimum nothing runs."""

EMPTY_DIGEST: Final = digest_of(b"")
"""Digest of no environment, no arguments, no configuration: all a wasm function gets today."""

FilePath = Annotated[
    str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63}){0,3}\Z")
]
"""Relative, lower case, at most four deep; no part starts with a dot."""

ExportName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file the bundle carries, named by content."""

    path: FilePath
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=BUNDLE_BYTES_MAX)]
    sha256: HexDigest


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most one call may use; exceeding one ends the call, never the runner."""

    fuel_max: Annotated[int, msgspec.Meta(ge=1, le=FUEL_MAX)]
    memory_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=MEMORY_BYTES_MAX)]
    input_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=CONTENT_BYTES_MAX)]
    output_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=CONTENT_BYTES_MAX)]
    stack_bytes_max: Annotated[int, msgspec.Meta(ge=STACK_BYTES_MIN, le=STACK_BYTES_MAX)]


class EngineRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Major versions of the engine the vendor vouches for; fuel compares only within one."""

    name: Literal["wasmtime"]
    major_min: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    major_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class EntryPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where execution starts: an export of one of the files."""

    path: FilePath
    export: ExportName


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what the function does; its digest names the function.

    Attributes:
        svn: Security version: grows when an older version must no longer be used.
        capabilities: What the function may reach besides its request: nothing yet.
        environment: Digest of the environment it is given, and so on for the next two.
        calibration: A typical request among the files, to measure fuel per millisecond with.
    """

    schema: Literal["mutualedge-bundle/1"]
    name: Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z")]
    version: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}\Z")]
    svn: Count
    runtime: Literal["wasm"]
    abi: Literal["me-abi/1"]
    engine: EngineRange
    entry: EntryPoint
    files: Annotated[tuple[FileEntry, ...], msgspec.Meta(min_length=1, max_length=FILES_MAX)]
    limits: Limits
    capabilities: Annotated[tuple[str, ...], msgspec.Meta(max_length=0)]
    environment: HexDigest
    arguments: HexDigest
    configuration: HexDigest
    calibration: FilePath | None

    def __post_init__(self) -> None:
        """Files are sorted, each once; entry and calibration are among them."""
        paths = [entry.path for entry in self.files]
        if paths != sorted(set(paths)):
            raise ValueError("files must be sorted by path, each once")
        if self.entry.path not in paths or (self.calibration or paths[0]) not in paths:
            raise ValueError("entry and calibration must name files of the bundle")


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest in its envelope and the files' contents in the manifest's order, unverified."""

    manifest: Envelope
    contents: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=FILES_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose every byte is covered by ``digest``.

    Attributes:
        digest: SHA-256 of the manifest: the function's identity.
        vendor: Whose signature was verified; nobody's if none was asked for.
        raw: The bundle as it travels.
    """

    digest: Digest
    manifest: Manifest
    files: Mapping[str, bytes]
    vendor: KeyId | None
    raw: bytes

    @property
    def module(self) -> bytes:
        """Content of the file that execution starts in."""
        return self.files[self.manifest.entry.path]

    @property
    def calibration_request(self) -> bytes | None:
        """A typical request, if the vendor put one in."""
        path = self.manifest.calibration
        return None if path is None else self.files[path]


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Bundle] = msgspec.msgpack.Decoder(Bundle)


def file_entries(contents: Mapping[str, bytes]) -> tuple[FileEntry, ...]:
    """Return the manifest's entries for these files, sorted by path."""
    return tuple(
        FileEntry(path=path, size_bytes=len(contents[path]), sha256=digest_of(contents[path]))
        for path in sorted(contents)
    )


def build_bundle(manifest: Manifest, contents: Mapping[str, bytes], *keys: SigningKey) -> Bundle:
    """Return the bundle of a manifest and its files, signed by each key in turn.

    Args:
        manifest: Its ``files`` are ``file_entries(contents)``.
        contents: File contents by path.
        keys: The vendor's, and reviewers' after it; none leaves it unsigned.

    Raises:
        PeerError: The manifest describes other files than these.
    """
    bundle = Bundle(
        manifest=sign_record(manifest, *keys),
        contents=tuple(contents[path] for path in sorted(contents)),
    )
    verify_bundle(bundle)
    return bundle


def sign_bundle(bundle: Bundle, key: SigningKey) -> Bundle:
    """Return the bundle with one more signature; its digest stays the same."""
    return Bundle(manifest=countersign(bundle.manifest, key), contents=bundle.contents)


def encode_bundle(bundle: Bundle) -> bytes:
    """Return the bundle as one string of bytes (MessagePack)."""
    return _encoder.encode(bundle)


def parse_bundle(raw: bytes) -> Bundle:
    """Return the bundle in these bytes; nothing in it is verified yet.

    Raises:
        PeerError: Too large, not a bundle, or another spelling of one.
    """
    if len(raw) > BUNDLE_BYTES_MAX:
        sentence = f"The bundle has {len(raw)} bytes, {BUNDLE_BYTES_MAX} are allowed; shrink it."
        raise PeerError("functions.bundle.oversize", sentence)
    try:
        bundle = _decoder.decode(raw)
    except UNREADABLE as error:
        sentence = f"These {len(raw)} bytes are no function bundle: {error}."
        raise PeerError("functions.bundle.malformed", sentence) from error
    if _encoder.encode(bundle) != raw:
        sentence = "The bundle is not in its one encoding; its sender must encode it again."
        raise PeerError("functions.bundle.not-canonical", sentence)
    return bundle


def verify_bundle(bundle: Bundle, vendor_key: bytes | None = None) -> VerifiedBundle:
    """Return the bundle's contents once every file is the one its manifest names.

    Args:
        bundle: As received.
        vendor_key: Raw Ed25519 public key that must have signed the manifest; without one the
            digest alone is the identity, to be compared with what was agreed.

    Raises:
        PeerError: Signature, manifest or a file is not what it must be.
    """
    manifest = _verify_manifest(bundle.manifest, vendor_key)
    if len(bundle.contents) != len(manifest.files):
        count = len(bundle.contents)
        sentence = f"{manifest.name} names {len(manifest.files)} files and carries {count}."
        raise PeerError("functions.bundle.files", sentence)
    for entry, content in zip(manifest.files, bundle.contents, strict=True):
        if entry.size_bytes != len(content) or entry.sha256 != digest_of(content):
            sentence = f"File '{entry.path}' of {manifest.name} is not the one its manifest names."
            raise PeerError("functions.bundle.file-digest", sentence)
    if {manifest.environment, manifest.arguments, manifest.configuration} != {EMPTY_DIGEST}:
        sentence = f"{manifest.name} expects environment, arguments or configuration; none exist."
        raise PeerError("functions.bundle.unprovided", sentence)
    paths = (entry.path for entry in manifest.files)
    return VerifiedBundle(
        digest=bundle.manifest.payload_digest,
        manifest=manifest,
        files=dict(zip(paths, bundle.contents, strict=True)),
        vendor=None if vendor_key is None else key_id_of(vendor_key),
        raw=encode_bundle(bundle),
    )


def _verify_manifest(envelope: Envelope, vendor_key: bytes | None) -> Manifest:
    if vendor_key is not None:
        return verify_record(envelope, Manifest, vendor_key)
    if envelope.payload_type != media_type(Manifest):
        sentence = f"Expected a bundle's manifest, got '{envelope.payload_type}'."
        raise PeerError("functions.bundle.type", sentence)
    return parse_canonical(envelope.payload, Manifest)
