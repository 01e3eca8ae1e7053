"""Small modules that each try one thing a function must not get away with."""

from pathlib import Path

import wasmtime

import mutualedge
from mutualedge.functions import (
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

SOURCES = Path(mutualedge.__file__).parent / "functions" / "wat"

PAGE_BYTES = 65_536

LIMITS = Limits(
    fuel_max=10_000_000_000,
    memory_bytes_max=4 * PAGE_BYTES,
    input_bytes_max=1_024,
    output_bytes_max=1_024,
    stack_bytes_max=64 * 1024,
)

SPIN = "(loop $again (br $again)) unreachable"
COUNT_DOWN = """
  (local $left i32)
  (local.set $left (i32.load (i32.const 0)))
  (loop $again
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (i64.const 0)
"""
RECURSE = "(call $run (local.get 0))"
READ_OUTSIDE = "(i64.load (i32.const 0x7fff0000))"
DIVIDE_BY_ZERO = "(i64.div_s (i64.const 1) (i64.const 0))"
REFUSE = "(i64.const -1)"
ANSWER_OUTSIDE = "(i64.const 0x7fff000000000008)"
ANSWER_TOO_MUCH = "(i64.const 0x0000000000000401)"
ONE_PAGE = "(drop (memory.grow (i32.const 1))) (i64.const 0)"
ECHO_GROWTH = """
  (i32.store (i32.const 0) (memory.grow (i32.const 100)))
  (i64.const 4)
"""
REMEMBER = """
  (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (i32.store (i32.const 516) (global.get $calls))
  (i64.const 0x0000020000000008)
"""
ANSWER_IN_NEW_PAGE = """
  (drop (memory.grow (i32.const 1)))
  (i32.store (i32.const 65536) (i32.const 7))
  (i64.const 0x0001000000000004)
"""
START_COUNTS = """
  (start $start)
  (func $start (local $left i32)
    (local.set $left (i32.const 100))
    (loop $again
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left))))
"""
NAN_OF_REQUEST = """
  (f64.store (i32.const 512) (f64.add (f64.load (i32.const 0)) (f64.const 1)))
  (i64.const 0x0000020000000008)
"""


def module_text(body: str, *, declarations: str = "", pages: str = "1") -> str:
    return f"""(module
      {declarations}
      (memory (export "memory") {pages})
      (global (export "input") i32 (i32.const 0))
      (global $calls (mut i32) (i32.const 0))
      (func $run (export "run") (param i32) (result i64) {body})
    )"""


def bundle_of(module: bytes, limits: Limits = LIMITS, engine_major: int = 30) -> VerifiedBundle:
    manifest = Manifest(
        schema="mutualedge-bundle/1",
        name="probe",
        version="0.0.1",
        svn=0,
        runtime="wasm",
        abi="me-abi/1",
        engine=EngineRange(name="wasmtime", major_min=engine_major, major_max=engine_major + 900),
        entry=EntryPoint(path="probe.wasm", export="run"),
        files=file_entries({"probe.wasm": module}),
        limits=limits,
        capabilities=(),
        environment=EMPTY_DIGEST,
        arguments=EMPTY_DIGEST,
        configuration=EMPTY_DIGEST,
        calibration=None,
    )
    return verify_bundle(build_bundle(manifest, {"probe.wasm": module}))


def probe_bundle(text: str, limits: Limits = LIMITS) -> VerifiedBundle:
    return bundle_of(bytes(wasmtime.wat2wasm(text)), limits)
