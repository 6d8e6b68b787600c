"""The process that has `llama-cpp-python` write a model file: `SOURCE TARGET TYPE`."""

from __future__ import annotations

import ctypes
import sys


def main() -> int:
    """Write the file; say on stderr why not."""
    source, target, kind = sys.argv[1:]
    try:
        import llama_cpp
    except Exception as exc:  # it loads its native library, which fails in many ways
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        return 2
    code = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}", None)
    if code is None:
        sys.stderr.write(f"it knows no type {kind}\n")
        return 2
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = code
    params.allow_requantize = True
    failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
