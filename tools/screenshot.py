"""Takes the picture of the README: a mission's run in Airflow's own UI, in a headless Chromium.

Starts a local Airflow with the missions of dags/, runs one to its end, and writes docs/grid.png. Needs Chromium, which
Debian packages as ``chromium``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

from tools.airflow import ROOT, LocalAirflow, free_port, mission_bundle

MISSION = "error_handling_workflow"
RUN = "first_run"

_PATIENCE = 60.0


class Size(NamedTuple):
    """Pixels of the page."""

    width: int
    height: int


class Page:
    """One page of a headless Chromium, spoken to by the DevTools protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def send(self, method: str, **parameters: Any) -> Any:
        """Carry out a command and return its result. Raises RuntimeError when Chromium refuses it."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._connection.recv(timeout=_PATIENCE))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until a JavaScript expression is true. Raises TimeoutError."""
        deadline = time.monotonic() + _PATIENCE
        while not self.evaluate(script):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page never became so: {script}; it says: {self.evaluate(_TEXT)}")
            time.sleep(0.2)

    def picture(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])


_TEXT = "document.body ? document.body.innerText : ''"
_SHOW_GRAPH = """localStorage.setItem("default_dag_view", '"graph"')"""


@contextlib.contextmanager
def chromium(size: Size) -> Iterator[Page]:
    """A headless Chromium with an empty profile, and its one page."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("no Chromium: apt-get install chromium")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="screenshot-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={size.width},{size.height}",
                f"--remote-debugging-port={port}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_page_address(port), max_size=None, open_timeout=_PATIENCE) as connection:
                page = Page(connection)
                page.send("Emulation.setDeviceMetricsOverride", **size._asdict(), deviceScaleFactor=1, mobile=False)
                yield page
        finally:
            process.terminate()
            process.wait()


def _page_address(port: int) -> str:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            for target in json.load(answer):
                if target["type"] == "page":
                    address: str = target["webSocketDebuggerUrl"]
                    return address
        if time.monotonic() > deadline:
            raise TimeoutError("Chromium does not answer")
        time.sleep(0.1)


def take(airflow: LocalAirflow, mission: str, size: Size) -> bytes:
    """Run a mission to its end, and take a picture of the run's page."""
    deadline = time.monotonic() + _PATIENCE
    while mission not in [dag["dag_id"] for dag in airflow.api("GET", "dags")["dags"]]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Airflow does not find {mission}")
        time.sleep(0.2)
    airflow.trigger(mission, RUN)
    state, _ = airflow.wait(mission, RUN)
    print(f"{mission} ended: {state}")
    tasks = len(airflow.states(mission, RUN))
    with chromium(size) as page:
        page.send("Network.enable")
        page.send("Network.setCookie", name="_token", value=airflow.token(), url=airflow.url)
        page.send("Page.enable")
        page.send("Page.addScriptToEvaluateOnNewDocument", source=_SHOW_GRAPH)
        page.send("Page.navigate", url=f"{airflow.url}/dags/{mission}/runs/{RUN}")
        page.wait_for(f"document.querySelectorAll('.react-flow__node').length >= {tasks}")
        page.wait_for(f"({_TEXT}).includes('{tasks} Task Instances')")
        return _still(page)


def _still(page: Page) -> bytes:
    """A picture of the page once nothing on it moves any more."""
    deadline = time.monotonic() + _PATIENCE
    last, picture = b"", page.picture()
    while last != picture:
        if time.monotonic() > deadline:
            raise TimeoutError("the page does not come to rest")
        time.sleep(1)
        last, picture = picture, page.picture()
    return picture


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshot", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "grid.png")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=540)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="screenshot-", ignore_cleanup_errors=True) as home:
        with LocalAirflow(Path(home), bundles=[mission_bundle("missions", ROOT / "dags")]) as airflow:
            picture = take(airflow, MISSION, Size(options.width, options.height))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(picture)
    print(f"{options.output}: {len(picture) / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
