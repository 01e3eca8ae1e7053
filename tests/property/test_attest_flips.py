"""No bit of what a quote signs can change, and no bytes make the verifier stumble."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.attest import verify_sgx_quote
from mutualedge.errors import AttestationFailed
from tests.unit.attest_world import NOW_S, PLATFORM, ROOT

QUOTE = PLATFORM.collect(b"\xa5" * 64)

# Header and body (attestation key signs), signature, attestation key, quoting enclave's report
# (the machine signs), its signature, authentication data. The certificates behind them are
# signed too, but their PEM spelling is not: verifiers everywhere accept several.
SIGNED_BYTES = 48 + 384 + 4 + 64 + 64 + 384 + 64 + 2 + 32


def refusal(evidence: bytes, collateral: bytes = PLATFORM.collateral) -> str:
    try:
        verify_sgx_quote(evidence, collateral, ROOT.certificate, NOW_S)
    except AttestationFailed as error:
        return error.code
    return ""


def flipped(raw: bytes, bit: int) -> bytes:
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_layout_is_as_stated() -> None:
    """The signed bytes end where the certification data begins, so that no bit is left out."""
    assert struct.unpack_from("<H", QUOTE, SIGNED_BYTES) == (5,)
    assert refusal(QUOTE) == ""


@given(st.integers(0, SIGNED_BYTES * 8 - 1))
def test_any_flipped_bit_is_refused(bit: int) -> None:
    """A quote with one bit of its signed bytes changed does not verify."""
    assert refusal(flipped(QUOTE, bit)).startswith("attest.evidence.")


@pytest.mark.slow
def test_every_flipped_bit_is_refused() -> None:
    """All of them, one by one."""
    accepted = [bit for bit in range(SIGNED_BYTES * 8) if not refusal(flipped(QUOTE, bit))]
    assert accepted == []


@given(st.binary(max_size=1500), st.integers(0, len(QUOTE)))
def test_any_splice_is_refused_in_words(raw: bytes, offset: int) -> None:
    """Arbitrary bytes after a genuine beginning are refused with a code, nothing else."""
    evidence = QUOTE[:offset] + raw
    if evidence != QUOTE:
        assert refusal(evidence).startswith("attest.evidence.")


@settings(max_examples=300)
@given(st.integers(0, (len(PLATFORM.collateral) - 1) * 8))
def test_any_flipped_bit_of_collateral_is_harmless(bit: int) -> None:
    """Changed collateral is refused with a code, or its meaning is unchanged (spelling of PEM)."""
    changed = flipped(PLATFORM.collateral, bit)
    code = refusal(QUOTE, changed)
    if code:
        assert code.startswith(("attest.collateral.", "attest.evidence.signature"))
    else:
        claims = verify_sgx_quote(QUOTE, changed, ROOT.certificate, NOW_S)
        assert (claims.tcb_status, claims.tcb_evaluation_number) == ("UpToDate", 1)
