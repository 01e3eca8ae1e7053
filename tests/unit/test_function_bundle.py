import re

import msgspec
import pytest

from mutualedge.errors import PeerError
from mutualedge.functions import (
    BUNDLE_BYTES_MAX,
    Bundle,
    Manifest,
    anomaly_bundle,
    build_bundle,
    encode_bundle,
    file_entries,
    parse_bundle,
    sign_bundle,
    verify_bundle,
)
from mutualedge.signing import SigningKey, sign_record

VENDOR = SigningKey(bytes(range(32)))
REVIEWER = SigningKey(bytes(range(1, 33)))
MANIFEST = anomaly_bundle().manifest
FILES = anomaly_bundle().files


def shipped() -> Bundle:
    return parse_bundle(anomaly_bundle().raw)


def refused(code: str) -> "pytest.RaisesExc[PeerError]":
    return pytest.raises(PeerError, match=re.escape(f"[{code}]"))


def test_a_bundle_survives_the_wire() -> None:
    """What is encoded parses to the same bundle with the same digest and files."""
    verified = verify_bundle(parse_bundle(anomaly_bundle().raw))
    assert verified == anomaly_bundle()
    assert verified.module.startswith(b"\x00asm")
    assert verified.calibration_request == verified.files["calibration.request"]


def test_a_signature_names_the_vendor_and_keeps_the_identity() -> None:
    """Signing changes neither digest nor manifest; every required signer must be there."""
    signed = sign_bundle(sign_bundle(shipped(), VENDOR), REVIEWER)
    for key in (VENDOR, REVIEWER):
        verified = verify_bundle(signed, key.public_bytes)
        assert verified.vendor == key.key_id
        assert verified.digest == anomaly_bundle().digest
    assert verify_bundle(signed).vendor is None


def test_an_unsigned_bundle_is_not_the_vendors() -> None:
    """Where a vendor is required, no signature and another one's are refused alike."""
    for bundle in (shipped(), sign_bundle(shipped(), REVIEWER)):
        with refused("signing.envelope.unsigned"):
            verify_bundle(bundle, VENDOR.public_bytes)


@pytest.mark.parametrize("index", [0, 1])
def test_an_altered_file_is_found(index: int) -> None:
    """One changed bit in any file is refused, although the signature still verifies."""
    signed = sign_bundle(shipped(), VENDOR)
    contents = list(signed.contents)
    contents[index] = contents[index][:-1] + bytes([contents[index][-1] ^ 1])
    with refused("functions.bundle.file-digest"):
        verify_bundle(
            Bundle(manifest=signed.manifest, contents=tuple(contents)), VENDOR.public_bytes
        )


def test_files_are_neither_added_nor_missing() -> None:
    """The bundle carries exactly the files its manifest names."""
    bundle = shipped()
    for contents in (bundle.contents[:1], (*bundle.contents, b"")):
        with refused("functions.bundle.files"):
            verify_bundle(Bundle(manifest=bundle.manifest, contents=contents))


def test_a_changed_manifest_is_another_function() -> None:
    """Every term is part of the identity: one unit of fuel more gives another digest."""
    limits = msgspec.structs.replace(MANIFEST.limits, fuel_max=MANIFEST.limits.fuel_max + 1)
    changed = build_bundle(msgspec.structs.replace(MANIFEST, limits=limits), FILES)
    assert verify_bundle(changed).digest != anomaly_bundle().digest


@pytest.mark.parametrize("field", ["environment", "arguments", "configuration"])
def test_what_is_not_provided_must_not_be_expected(field: str) -> None:
    """A manifest that counts on an environment or configuration we do not give is refused."""
    manifest = msgspec.structs.replace(MANIFEST, **{field: "ab" * 32})
    with refused("functions.bundle.unprovided"):
        build_bundle(manifest, FILES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"anomaly.wasm"', b'"../anomaly.wasm"'),
        (b'"anomaly.wasm"', b'"/anomaly.wasm"'),
        (b'"anomaly.wasm"', b'"anomaly.wasm\\n"'),
        (b'"capabilities":[]', b'"capabilities":["network"]'),
        (b'"fuel_max":1000000', b'"fuel_max":0'),
        (b'"fuel_max":1000000', b'"fuel_max":999999999999999'),
        (b'"memory_bytes_max":65536', b'"memory_bytes_max":99999999999'),
        (b'"runtime":"wasm"', b'"runtime":"python"'),
        (b'"svn":1', b'"svn":1,"debug":true'),
        (b'"svn":1', b'"svn": 1'),
        (b'"calibration":"calibration.request"', b'"calibration":"other"'),
    ],
)
def test_a_manifest_outside_the_schema_is_refused(old: bytes, new: bytes) -> None:
    """Paths, limits, capabilities and spelling outside the schema never become a bundle."""
    envelope = shipped().manifest
    assert old in envelope.payload
    payload = envelope.payload.replace(old, new)
    altered = msgspec.structs.replace(envelope, payload=payload)
    with pytest.raises(PeerError) as caught:
        verify_bundle(Bundle(manifest=altered, contents=shipped().contents))
    assert caught.value.code.startswith("signing.json.")


def test_another_record_is_no_manifest() -> None:
    """An envelope over another kind of record is refused before its payload is read."""
    other = sign_record(MANIFEST.limits, VENDOR)
    with refused("functions.bundle.type"):
        verify_bundle(Bundle(manifest=other, contents=()))


def test_rubbish_and_second_spellings_are_refused() -> None:
    """Bytes that are no bundle, longer ones and a padded map are refused with their reason."""
    raw = anomaly_bundle().raw
    with refused("functions.bundle.malformed"):
        parse_bundle(raw[:-1])
    with refused("functions.bundle.oversize"):
        parse_bundle(bytes(BUNDLE_BYTES_MAX + 1))
    assert raw[0] == 0x82
    with refused("functions.bundle.not-canonical"):
        parse_bundle(b"\xde\x00\x02" + raw[1:])


def test_files_must_be_listed_in_order_and_once() -> None:
    """A second order of the same files would be a second identity of one function."""
    backwards = tuple(reversed(MANIFEST.files))
    for files in (backwards, MANIFEST.files + MANIFEST.files[:1]):
        with pytest.raises(ValueError, match="sorted"):
            msgspec.structs.replace(MANIFEST, files=files)


def test_a_manifest_of_other_files_is_not_built() -> None:
    """Building checks its own work: a manifest for other contents is refused."""
    with refused("functions.bundle.file-digest"):
        build_bundle(MANIFEST, {**FILES, "anomaly.wasm": b"\x00asm"})
    assert file_entries(FILES) == MANIFEST.files


def test_the_encoding_is_the_identity_of_the_bytes() -> None:
    """Encoding what was parsed gives the bytes that were parsed."""
    assert encode_bundle(shipped()) == anomaly_bundle().raw
    assert msgspec.json.decode(shipped().manifest.payload, type=Manifest) == MANIFEST
