"""Functions: bundles and their identity, the engine's contract, the built-in detector."""

from mutualedge.functions.builtin import ANOMALY_MODULE_DIGEST, anomaly_bundle
from mutualedge.functions.bundle import (
    BUNDLE_BYTES_MAX,
    EMPTY_DIGEST,
    Bundle,
    EngineRange,
    EntryPoint,
    FileEntry,
    Limits,
    Manifest,
    VerifiedBundle,
    build_bundle,
    encode_bundle,
    file_entries,
    parse_bundle,
    sign_bundle,
    verify_bundle,
)
from mutualedge.functions.reference import PythonRuntime
from mutualedge.functions.runtime import (
    Execution,
    ExecutionStatus,
    LoadedFunction,
    Runtime,
    calibrate,
    fuel_for_budget,
)

__all__ = [
    "ANOMALY_MODULE_DIGEST",
    "BUNDLE_BYTES_MAX",
    "EMPTY_DIGEST",
    "Bundle",
    "EngineRange",
    "EntryPoint",
    "Execution",
    "ExecutionStatus",
    "FileEntry",
    "Limits",
    "LoadedFunction",
    "Manifest",
    "PythonRuntime",
    "Runtime",
    "VerifiedBundle",
    "anomaly_bundle",
    "build_bundle",
    "calibrate",
    "encode_bundle",
    "file_entries",
    "fuel_for_budget",
    "parse_bundle",
    "sign_bundle",
    "verify_bundle",
]
