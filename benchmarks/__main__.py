"""Prints the table: ``python -m benchmarks [--check] [NAME ...]``."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks import environment
from benchmarks.measure import Row

NAMES = ("start_up", "dag_import", "concurrency", "step_types")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a row is over its bound")
    arguments = parser.parse_args()
    if unknown := set(arguments.names).difference(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    environment.prepare()
    over = False
    print(f"{'what':<52} {'measured':>9} {'bound':>7}  {'':7} how")
    for name in arguments.names or NAMES:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            for row in importlib.import_module(f"benchmarks.{name}").rows(Path(folder)):
                print(_line(row), flush=True)
                over = over or row.verdict == "over"
    return 1 if over and arguments.check else 0


def _line(row: Row) -> str:
    measured = "" if row.measured is None else f"{row.measured:.2f}{row.unit}"
    return f"{row.what:<52} {measured:>9} {f'{row.bound:.2f}{row.unit}':>7}  {row.verdict:<7} {row.detail}"


if __name__ == "__main__":
    sys.exit(main())
