import re
import struct
import time

import msgspec
import pytest
import wasmtime

from mutualedge.adapters.wasm import WasmFunction, WasmRuntime
from mutualedge.errors import PeerError, UsageError
from mutualedge.functions import ANOMALY_MODULE_DIGEST, anomaly_bundle
from mutualedge.meter import UsageRecord
from mutualedge.signing import digest_of
from tests.contract import wasm_modules as modules

WALL_LIMIT_MS = 100
PATIENCE_NS = 20_000_000_000


def loaded(body: str, **options: str) -> WasmFunction:
    text = modules.module_text(body, **options)
    return WasmRuntime(wall_limit_ms=WALL_LIMIT_MS).load(modules.probe_bundle(text))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (modules.RECURSE, "trap.stack"),
        (modules.READ_OUTSIDE, "trap.memory"),
        (modules.DIVIDE_BY_ZERO, "trap.arithmetic"),
        ("unreachable", "trap.unreachable"),
        (modules.ANSWER_OUTSIDE, "trap.output"),
        (modules.ANSWER_TOO_MUCH, "trap.output"),
        (modules.REFUSE, "refused"),
    ],
)
def test_a_call_that_goes_wrong_says_how(body: str, status: str) -> None:
    """Every wrong turn ends the call with its own status and no output; the next call works."""
    function = loaded(body)
    execution = function.run(b"")
    assert (execution.status, execution.output) == (status, b"")
    assert function.run(b"").status == status


def test_fuel_ends_an_endless_loop_at_the_limit() -> None:
    """An endless loop stops after exactly the fuel it was given, every time."""
    function = loaded(modules.SPIN)
    first, second = function.run(b"", 1_000_000), function.run(b"", 1_000_000)
    assert first.status == second.status == "trap.fuel"
    assert first.fuel == second.fuel == 1_000_000


def test_wall_time_ends_what_fuel_would_allow() -> None:
    """With fuel for many seconds the watchdog ends the call, not before the wall limit."""
    function = loaded(modules.SPIN)
    started_ns = time.monotonic_ns()
    execution = function.run(b"")
    elapsed_ns = time.monotonic_ns() - started_ns
    assert execution.status == "trap.epoch"
    assert WALL_LIMIT_MS * 1_000_000 <= elapsed_ns < PATIENCE_NS


def test_a_call_after_a_pause_still_has_its_wall_limit() -> None:
    """The watchdog that fell asleep wakes up for the next call."""
    function = loaded(modules.SPIN)
    function.run(b"", 1_000)
    time.sleep(3 * WALL_LIMIT_MS / 1000)
    assert function.run(b"").status == "trap.epoch"


def test_memory_grows_to_its_limit_only() -> None:
    """Growing past the manifest's limit answers -1; growing within it is measured."""
    refused = loaded(modules.ECHO_GROWTH).run(b"")
    assert refused.output == struct.pack("<i", -1)
    assert refused.memory_bytes == modules.PAGE_BYTES
    assert loaded(modules.ONE_PAGE).run(b"").memory_bytes == 2 * modules.PAGE_BYTES


def test_nothing_survives_a_call() -> None:
    """Memory and globals start afresh: what one caller writes, no other caller reads."""
    function = loaded(modules.REMEMBER)
    outputs = [function.run(b"").output for _ in range(3)]
    assert outputs == [struct.pack("<ii", 1, 1)] * 3


def test_an_instance_made_ahead_changes_nothing_but_time() -> None:
    """With and without an instance made ahead a call gives the same, and nothing survives it."""
    for body in (modules.REMEMBER, modules.SPIN, modules.RECURSE, modules.ECHO_GROWTH):
        runtime = WasmRuntime(wall_limit_ms=WALL_LIMIT_MS)
        text = modules.module_text(body, declarations=modules.START_COUNTS)
        function = runtime.load(modules.probe_bundle(text))
        outcomes = []
        for _ in range(3):
            execution = function.run(b"", 1_000_000)
            outcomes.append(
                (execution.status, execution.output, execution.fuel, execution.memory_bytes)
            )
            runtime.prepare()
        assert outcomes == [outcomes[0]] * 3


def test_an_instance_made_for_another_function_is_not_used() -> None:
    """Two functions called in turns each run in instances of their own."""
    runtime = WasmRuntime()
    refusing, answering = (
        runtime.load(modules.probe_bundle(modules.module_text(body)))
        for body in (modules.REFUSE, modules.REMEMBER)
    )
    for _ in range(2):
        runtime.prepare()
        assert refusing.run(b"").status == "refused"
        runtime.prepare()
        assert answering.run(b"").output == struct.pack("<ii", 1, 1)


def test_starting_is_part_of_the_calls_fuel() -> None:
    """A start function's fuel is counted and limited as if it ran in the call, ahead or not."""
    runtime = WasmRuntime()
    text = modules.module_text("(i64.const 0)", declarations=modules.START_COUNTS)
    function = runtime.load(modules.probe_bundle(text))
    needed = function.run(b"").fuel
    plain = loaded("(i64.const 0)").run(b"").fuel
    assert needed > plain + 100
    for fuel, status in ((needed, "ok"), (needed - 1, "trap.fuel"), (1, "trap.fuel")):
        assert function.run(b"", fuel).status == status
        runtime.prepare()
        assert function.run(b"", fuel).status == status


def test_a_long_start_waits_for_its_call() -> None:
    """Work that no budget pays for is not done ahead: it happens inside the call that needs it."""
    runtime = WasmRuntime()
    many = modules.START_COUNTS.replace("i32.const 100", "i32.const 1000000")
    text = modules.module_text("(i64.const 0)", declarations=many)
    function = runtime.load(modules.probe_bundle(text))
    function.run(b"")
    runtime.prepare()
    assert function.instance_ahead() is None
    assert function.run(b"").fuel > 1_000_000


def test_memory_that_grew_is_read_where_it_is() -> None:
    """An answer in pages added by the call comes back: memory never moves."""
    assert loaded(modules.ANSWER_IN_NEW_PAGE).run(b"").output == struct.pack("<i", 7)


def test_fuel_counts_instructions() -> None:
    """Twice the iterations cost twice the fuel, to the unit."""
    function = loaded(modules.COUNT_DOWN)
    once, twice, thrice = (
        function.run(struct.pack("<i", 1_000 * times)).fuel for times in (1, 2, 3)
    )
    assert thrice - twice == twice - once > 1_000


def test_nans_are_canonical() -> None:
    """Whatever NaN goes in, the one canonical NaN comes out, on every machine."""
    function = loaded(modules.NAN_OF_REQUEST)
    strange = struct.pack("<Q", 0x7FF8_DEAD_BEEF_0001)
    assert function.run(strange).output == struct.pack("<Q", 0x7FF8_0000_0000_0000)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (modules.module_text("(i64.const 0)", declarations='(import "env" "f" (func))'), "imports"),
        (
            modules.module_text(
                "(i64.const 0)",
                declarations='(import "wasi_snapshot_preview1" "fd_write" (func))',
            ),
            "imports",
        ),
        ("(module)", "exports"),
        ('(module (memory (export "memory") 1) (func (export "run")))', "exports"),
        (modules.module_text("(i64.const 0)", pages="5"), "start"),
        (
            modules.module_text("(i64.const 0)", declarations="(start $s) (func $s unreachable)"),
            "start",
        ),
        (modules.module_text("(i64.const 0)", pages="0"), "input"),
        (modules.module_text("(i64.const 0)", pages="1 1 shared"), "invalid"),
    ],
)
def test_an_unacceptable_module_is_refused_at_load(text: str, code: str) -> None:
    """Imports, missing exports and modules that cannot start never become a function."""
    with pytest.raises(PeerError) as caught:
        WasmRuntime().load(modules.probe_bundle(text))
    assert caught.value.code == f"functions.module.{code}"


def test_only_portable_code_is_loaded() -> None:
    """Text, native code of the same engine, and rubbish are refused before they are compiled."""
    text = modules.module_text("(i64.const 0)")
    engine = wasmtime.Engine()
    native = bytes(wasmtime.Module(engine, text).serialize())
    for module in (text.encode(), native, b"", b"\x00asm\x02\x00\x00\x00"):
        with pytest.raises(PeerError, match=re.escape("functions.module.not-wasm")):
            WasmRuntime().load(modules.bundle_of(module))


def test_an_engine_outside_the_vendors_range_is_refused() -> None:
    """A bundle for another major version is refused, since its fuel would not compare."""
    module = bytes(wasmtime.wat2wasm(modules.module_text("(i64.const 0)")))
    with pytest.raises(UsageError, match=re.escape("functions.engine.version")):
        WasmRuntime().load(modules.bundle_of(module, engine_major=10_000))


def test_every_status_fits_a_usage_record() -> None:
    """The statuses of real executions are spelled as usage records allow."""
    record = msgspec.inspect.type_info(UsageRecord)
    assert isinstance(record, msgspec.inspect.StructType)
    field = next(field.type for field in record.fields if field.name == "status")
    assert isinstance(field, msgspec.inspect.StrType)
    for body in (modules.RECURSE, modules.READ_OUTSIDE, modules.REFUSE, modules.ANSWER_OUTSIDE):
        assert re.search(field.pattern or "never", loaded(body).run(b"").status)


def test_the_shipped_module_is_its_source_compiled() -> None:
    """Compiling the text again gives the packaged bytes, and the digest in the code is theirs."""
    source = (modules.SOURCES / "anomaly.wat").read_text("utf-8")
    compiled = bytes(wasmtime.wat2wasm(source))
    assert compiled == (modules.SOURCES / "anomaly.wasm").read_bytes()
    assert digest_of(compiled) == ANOMALY_MODULE_DIGEST == digest_of(anomaly_bundle().module)
