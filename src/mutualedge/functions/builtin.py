"""The function every installation carries: its compiled module and the manifest around it."""

import pkgutil
from functools import cache

from mutualedge.errors import CorruptState
from mutualedge.functions.anomaly import (
    INITIAL_STATE,
    READINGS_MAX,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    encode_request,
)
from mutualedge.functions.bundle import (
    EMPTY_DIGEST,
    EngineRange,
    EntryPoint,
    Limits,
    Manifest,
    VerifiedBundle,
    build_bundle,
    file_entries,
    verify_bundle,
)
from mutualedge.model import Digest
from mutualedge.signing import digest_of

ANOMALY_MODULE_DIGEST = Digest("06ffaa897974672874f0b7c8ca53dd1b495a157c336d1d33f231368a9618c59e")
"""SHA-256 of ``wat/anomaly.wasm``, which is ``wat/anomaly.wat`` compiled; a test compiles again."""

_MODULE_PATH = "anomaly.wasm"
_CALIBRATION_PATH = "calibration.request"

_LIMITS = Limits(
    fuel_max=1_000_000,
    memory_bytes_max=65_536,
    input_bytes_max=REQUEST_BYTES_MAX,
    output_bytes_max=RESPONSE_BYTES_MAX,
    stack_bytes_max=64 * 1024,
)
"""One page of memory; fuel for about fifty times the largest request."""


@cache
def anomaly_bundle() -> VerifiedBundle:
    """Return the bundle of the anomaly function, unsigned: its digest is its identity.

    A vendor that ships it under its own name signs it with ``sign_bundle``.

    Raises:
        CorruptState: The installed module is not the one this release was made with.
    """
    module = pkgutil.get_data("mutualedge.functions", "wat/anomaly.wasm")
    if module is None or digest_of(module) != ANOMALY_MODULE_DIGEST:
        sentence = "The installed anomaly.wasm was altered; install the package again."
        raise CorruptState("functions.builtin.altered", sentence)
    contents = {_MODULE_PATH: module, _CALIBRATION_PATH: _calibration_request()}
    manifest = Manifest(
        schema="mutualedge-bundle/1",
        name="anomaly",
        version="1.0.0",
        svn=1,
        runtime="wasm",
        abi="me-abi/1",
        # Plain arithmetic of WebAssembly 1.0: any engine computes the same bytes.
        engine=EngineRange(name="wasmtime", major_min=30, major_max=999),
        entry=EntryPoint(path=_MODULE_PATH, export="run"),
        files=file_entries(contents),
        limits=_LIMITS,
        capabilities=(),
        environment=EMPTY_DIGEST,
        arguments=EMPTY_DIGEST,
        configuration=EMPTY_DIGEST,
        calibration=_CALIBRATION_PATH,
    )
    return verify_bundle(build_bundle(manifest, contents))


def _calibration_request() -> bytes:
    """Return a full batch that takes every branch: a sawtooth, with a spike in each period."""
    readings = [float(index % 12 + 100 * (index % 40 == 39)) for index in range(READINGS_MAX)]
    return encode_request(INITIAL_STATE, readings)
