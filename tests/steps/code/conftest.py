"""Runs steps of the code family as both engines do: through `run_step`, in a workspace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import services

from rustchain_airflow.plan import PlannedStep
from rustchain_airflow.runtime.context import ExecutionContext, MissionRun
from rustchain_airflow.runtime.results import StepResult
from rustchain_airflow.runtime.step import StepRuntime, run_step
from rustchain_airflow.runtime.stop import StopToken
from rustchain_airflow.step_type import StepType


@dataclass
class Workbench:
    """A workspace, and a way to run one step in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(self, step_type: str, *, timeout_seconds: float = 240, **parameters: Any) -> StepResult:
        step = PlannedStep("work", "Work", StepType(step_type), 0, parameters)
        run = MissionRun("mission", "1.0", "run-1", datetime.now(UTC), str(self.root))
        runtime = StepRuntime(ExecutionContext(run, environment=self.environment))
        with runtime.fork_server:
            return run_step(step, runtime, stop=StopToken(timeout_seconds))

    def good(self, step_type: str, **parameters: Any) -> dict[str, Any]:
        """The output of a step that must succeed."""
        result = self.run(step_type, **parameters)
        assert result.error is None, (result.error, result.output)
        assert result.output is not None
        return result.output

    def bad(self, step_type: str, **parameters: Any) -> StepResult:
        """The result of a step that must fail."""
        result = self.run(step_type, **parameters)
        assert result.error is not None, result.output
        assert "\n" not in result.error
        assert "internal error" not in result.error
        return result

    def without_tools(self) -> Workbench:
        """The same workspace on a machine with nothing on its PATH."""
        empty = self.root.parent / "empty-path"
        empty.mkdir(exist_ok=True)
        return Workbench(self.root, {**self.environment, "PATH": str(empty)})

    def files(self) -> list[str]:
        """Every file there is, hidden ones too."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    root = tmp_path / "workspace"
    root.mkdir()
    return Workbench(root)


@pytest.fixture
def tool(bench: Workbench) -> Callable[[str], str]:
    """A program these tests need, from the PATH or from the npm project that NODE_TOOLS names the folder of.

    A test that cannot have it is missed loudly.
    """
    if node_tools := os.environ.get("NODE_TOOLS"):
        bench.environment["PATH"] += os.pathsep + str(Path(node_tools) / "node_modules" / ".bin")

    def need(name: str) -> str:
        found = shutil.which(name, path=bench.environment["PATH"])
        if found is None:
            services.missing(name, "not on the PATH, nor in NODE_TOOLS")
        return found

    return need


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>org.example</groupId><artifactId>shop</artifactId><version>1</version>
<properties><maven.compiler.release>17</maven.compiler.release>
<project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
<dependencies><dependency><groupId>org.junit.jupiter</groupId><artifactId>junit-jupiter</artifactId>
<version>5.12.2</version><scope>test</scope></dependency></dependencies>
<build><plugins>
<plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.1</version></plugin>
<plugin><artifactId>maven-compiler-plugin</artifactId><version>3.14.1</version></plugin>
<plugin><artifactId>maven-surefire-plugin</artifactId><version>3.2.5</version></plugin>
</plugins></build></project>
"""
JAVA_TEST = """import org.junit.jupiter.api.*;
class ProbeTest { @Test void good() {} }
"""


@pytest.fixture(scope="session")
def maven_project(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pom.xml of a project with JUnit tests; skips, and says so, where Maven cannot build it offline."""
    maven = shutil.which("mvn")
    if maven is None:
        services.missing("maven", "apt-get install maven")
    project = tmp_path_factory.mktemp("maven")
    (project / "src/test/java").mkdir(parents=True)
    (project / "pom.xml").write_text(POM)
    (project / "src/test/java/ProbeTest.java").write_text(JAVA_TEST)
    probe = subprocess.run([maven, "-o", "-q", "-B", "test"], cwd=project, capture_output=True, check=False)
    if probe.returncode:
        services.missing("maven", "its compiler, surefire and JUnit plugins are not on this machine")
    return POM
