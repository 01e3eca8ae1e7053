"""How wasmtime is configured: nothing ambient, nothing that differs between two machines."""

from importlib import metadata

import wasmtime

from mutualedge.errors import PeerError
from mutualedge.functions import Limits

ENGINE_VERSION = metadata.version("wasmtime")
ENGINE_MAJOR = int(ENGINE_VERSION.partition(".")[0])

WASM_MAGIC = b"\x00asm\x01\x00\x00\x00"
"""Binary modules only: the library would compile text too, and load what it was not shown."""

GUARD_BYTES = 64 * 1024
"""Behind linear memory; the default of gigabytes would not fit the runner's address space."""


def make_engine(limits: Limits) -> wasmtime.Engine:
    """Return an engine for one function: the stack limit belongs to the engine.

    Results and fuel depend on the module and its request alone: NaNs are canonical, threads and
    relaxed SIMD are off. Memory is reserved to its limit and never moves.
    """
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = limits.stack_bytes_max
    config.cranelift_nan_canonicalization = True
    config.memory_reservation = limits.memory_bytes_max
    config.memory_reservation_for_growth = 0
    config.memory_guard_size = GUARD_BYTES
    config.memory_may_move = False
    # Compiled in this thread: the runner may start hardly any others.
    config.parallel_compilation = False
    config.wasm_threads = False
    config.shared_memory = False
    config.wasm_relaxed_simd = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.wasm_tail_call = False
    config.wasm_exceptions = False
    config.wasm_function_references = False
    config.wasm_gc = False
    config.wasm_component_model = False
    return wasmtime.Engine(config)


def compile_module(engine: wasmtime.Engine, module: bytes, name: str) -> wasmtime.Module:
    """Return the module, compiled here from its portable form.

    Native code is never accepted (``Module.deserialize`` would run whatever it contains).

    Raises:
        PeerError: Not a binary wasm module, invalid, or it uses a feature that is off.
    """
    if not module.startswith(WASM_MAGIC):
        sentence = f"The entry file of {name} is no WebAssembly 1.0 binary; compile it to one."
        raise PeerError("functions.module.not-wasm", sentence)
    try:
        return wasmtime.Module(engine, module)
    except wasmtime.WasmtimeError as error:
        sentence = f"The module of {name} does not compile: {str(error).splitlines()[0]}."
        raise PeerError("functions.module.invalid", sentence) from error


def check_interface(module: wasmtime.Module, export: str, name: str) -> None:
    """Return if the module asks for nothing and offers what me-abi/1 needs.

    Raises:
        PeerError: It imports something, or an export is missing or of another type.
    """
    imports = [f"{each.module}.{each.name}" for each in module.imports]
    if imports:
        sentence = f"{name} imports {imports[0]} ({len(imports)} in all); functions get nothing."
        raise PeerError("functions.module.imports", sentence)
    exports = {each.name: each.type for each in module.exports}
    entry, memory, start = exports.get(export), exports.get("memory"), exports.get("input")
    i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
    takes_length = (
        isinstance(entry, wasmtime.FuncType) and entry.params == [i32] and entry.results == [i64]
    )
    has_input = (
        isinstance(start, wasmtime.GlobalType) and start.content == i32 and not start.mutable
    )
    if not (takes_length and has_input and isinstance(memory, wasmtime.MemoryType)):
        sentence = f"{name} must export memory, a constant i32 'input' and '{export}(i32) -> i64'."
        raise PeerError("functions.module.exports", sentence)
