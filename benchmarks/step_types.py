"""Heavy steps as whole `run-local` processes, against the same work done with the library, driver or tool alone."""

from __future__ import annotations

import filecmp
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from benchmarks.environment import PYTHON, RUSTCHAIN
from benchmarks.measure import Cost, Program, Row, medians

CSV_BYTES = 200_000_000
SQL_ROWS = 1_000_000
FILES = 50_000
MEGABYTE = 1_000_000


def rows(folder: Path) -> Iterator[Row]:
    yield from _csv_process(folder)
    yield from _sql_query(folder)
    yield from _file_search(folder)


def _step(folder: Path, step_type: str, parameters: Mapping[str, object]) -> Program:
    """A run of a mission with this one step in this folder."""
    mission = folder / f"{step_type}.yaml"
    mission.write_text(json.dumps({"steps": [{"id": "s", "step_type": step_type, "parameters": parameters}]}))
    return Program([RUSTCHAIN, "run-local", mission, "--workspace", folder])


def _row(what: str, ours: Cost, peer: Cost, bound: float) -> Row:
    detail = f"{ours.processor_seconds:.2f} s, peer {peer.processor_seconds:.2f} s processor time"
    return Row(what, ours.processor_seconds / peer.processor_seconds, bound, detail)


def _csv_process(folder: Path) -> Iterator[Row]:
    what, memory = "csv_process, filter of 200 MB / polars", "csv_process, peak memory"
    if subprocess.run([PYTHON, "-c", "import polars"], capture_output=True, check=False).returncode:
        reason = "polars (the data extra) is not installed"
        yield Row(what, None, 1.5, reason)
        yield Row(memory, None, 400, reason, unit=" MB")
        return
    with (folder / "sales.csv").open("w") as file:
        file.write("id,region,amount,note\n")
        number = 0
        while file.tell() < CSV_BYTES:
            file.write(
                "".join(
                    f"{n},region {n % 17},{n * 7919 % 1000}.{n % 100:02},a note on sale {n}\n"
                    for n in range(number, number + 10_000)
                )
            )
            number += 10_000
    peer = (
        "import polars as pl\n"
        'lines = pl.scan_csv("sales.csv", infer_schema=False)\n'
        'lines.filter(pl.col("amount").cast(pl.Float64, strict=False) > 500).sink_csv("peer.csv")\n'
    )
    operation = {"filter": {"column": "amount", "op": "gt", "value": 500}}
    library, ours = medians(
        Program([PYTHON, "-c", peer], folder),
        _step(
            folder,
            "csv_process",
            {"input_file": "sales.csv", "operations": [operation], "output_file": "ours.csv", "max_records": 0},
        ),
    )
    if not filecmp.cmp(folder / "peer.csv", folder / "ours.csv", shallow=False):
        raise RuntimeError("csv_process and polars gave different files")
    yield _row(what, ours, library, 1.5)
    detail = f"the largest process; polars alone {library.peak_bytes / MEGABYTE:.0f} MB"
    yield Row(memory, ours.peak_bytes / MEGABYTE, 400, detail, unit=" MB")


def _sql_query(folder: Path) -> Iterator[Row]:
    with closing(sqlite3.connect(folder / "sales.db")) as database, database:
        database.execute("create table sales (id integer, region text, amount real)")
        lines = ((n, f"region {n % 17}", n * 7919 % 1000 / 10) for n in range(SQL_ROWS))
        database.executemany("insert into sales values (?, ?, ?)", lines)
    query = "select * from sales"
    peer = (
        "import csv, sqlite3\n"
        f'rows = sqlite3.connect("sales.db").execute("{query}")\n'
        'with open("peer.csv", "w", newline="", encoding="utf-8") as file:\n'
        "    writer = csv.writer(file)\n"
        "    writer.writerow([column[0] for column in rows.description])\n"
        "    for row in rows:\n"
        "        writer.writerow(row)\n"
    )
    parameters = {"database_url": "sqlite:///sales.db", "query": query, "output_file": "rows.csv"}
    driver, ours = medians(Program([PYTHON, "-c", peer], folder), _step(folder, "sql_query", parameters))
    yield _row("sql_query, 1,000,000 rows to a file / driver's loop", ours, driver, 1.5)
    detail = f"the largest process; the loop alone {driver.peak_bytes / MEGABYTE:.0f} MB"
    yield Row("sql_query, peak memory", ours.peak_bytes / MEGABYTE, 100, detail, unit=" MB")


def _file_search(folder: Path) -> Iterator[Row]:
    what, bound = "file_search over 50,000 files / grep -r", 3.0
    if (grep := shutil.which("grep")) is None:
        yield Row(what, None, bound, "there is no grep")
        return
    tree = folder / "tree"
    for number in range(FILES):
        if number % 100 == 0:
            (tree / f"folder {number // 100}").mkdir(parents=True)
        text = "".join(f"line {line} of file {number}\n" for line in range(40))
        (tree / f"folder {number // 100}" / f"{number}.txt").write_text(text)
    pattern = "line 39 of file 777"
    tool, ours = medians(
        Program([grep, "-rn", pattern, "tree"], folder),
        _step(folder, "file_search", {"path": "tree", "pattern": pattern}),
    )
    yield _row(what, ours, tool, bound)
