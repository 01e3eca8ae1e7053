"""WebAssembly: the engine that runs functions under fuel, time, memory and stack limits."""

from mutualedge.adapters.wasm.runtime import WasmFunction, WasmRuntime

__all__ = ["WasmFunction", "WasmRuntime"]
