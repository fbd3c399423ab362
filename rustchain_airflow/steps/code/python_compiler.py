"""Run by compile_code in the project's own interpreter: compiles Python files to byte code, running none of them.

Standard input: a JSON list of pairs, source and target. Standard output: a JSON list with the name each
file has in ``__pycache__``. Faults go to standard error, and the exit code is then 1.
"""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import sys


def main() -> int:
    names = []
    faults = 0
    for source, target in json.load(sys.stdin):
        try:
            py_compile.compile(source, cfile=target, dfile=source, doraise=True)
            names.append(os.path.basename(importlib.util.cache_from_source(source)))  # noqa: PTH119
        except py_compile.PyCompileError as fault:
            faults += 1
            print(fault.msg.strip(), file=sys.stderr)
        except (OSError, ValueError, RecursionError, MemoryError) as fault:
            faults += 1
            print(f"{source}: {type(fault).__name__}: {fault}", file=sys.stderr)
    print(json.dumps(names))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
