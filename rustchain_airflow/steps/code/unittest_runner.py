"""Run by run_tests in the project's own interpreter: unittest, with a JUnit XML report of what it ran.

Arguments: where to write the report, then those of ``python -m unittest``.
"""

from __future__ import annotations

import os
import sys
import time
import unittest
from typing import Any
from xml.etree import ElementTree


class Recorder(unittest.TextTestResult):
    """Keeps how each test ended; the worst counts where a test ends more than once (subtests, tear-downs)."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.seconds: dict[str, float] = {}

    def record(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        rank = ["passed", "skipped", "failure", "error"]
        earlier = self.outcomes.get(test.id())
        if earlier is None or rank.index(outcome) > rank.index(earlier[0]):
            self.outcomes[test.id()] = (outcome, text)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self.seconds[test.id()] = -time.monotonic()

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self.seconds[test.id()] += time.monotonic()

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.record(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self.record(test, "error", self.errors[-1][1])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self.record(test, "failure", self.failures[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.record(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self.record(test, "passed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self.record(test, "failure", "unexpected success")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record(test, "failure" if issubclass(err[0], test.failureException) else "error", str(err[1]))

    def write(self, path: str) -> None:
        suite = ElementTree.Element("testsuite", name="unittest", tests=str(len(self.outcomes)))
        for test_id, (outcome, text) in self.outcomes.items():
            group, _, name = test_id.rpartition(".")
            seconds = self.seconds.get(test_id, 0.0)
            case = ElementTree.SubElement(
                suite, "testcase", classname=printable(group), name=printable(name), time=f"{seconds:.3f}"
            )
            if outcome != "passed":
                lines = text.strip().splitlines() or [""]
                element = ElementTree.SubElement(case, outcome, message=printable(lines[-1]))
                element.text = printable(text)
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def printable(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(
        letter if letter in "\t\n" or (ord(letter) >= 32 and not 0xD800 <= ord(letter) <= 0xDFFF) else "?"
        for letter in text
    )


def main() -> int:
    report, *arguments = sys.argv[1:]
    sys.path[0] = os.getcwd()  # noqa: PTH109 (as python -m unittest has it, instead of the folder of this script)
    recorders: list[Recorder] = []

    def remembered(*args: Any, **settings: Any) -> Recorder:
        recorders.append(Recorder(*args, **settings))
        return recorders[-1]

    runner = unittest.TextTestRunner(resultclass=remembered)
    program = unittest.main(module=None, argv=["unittest", *arguments], testRunner=runner, exit=False)
    for recorder in recorders:
        recorder.write(report)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
