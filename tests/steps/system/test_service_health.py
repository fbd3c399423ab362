"""service_health."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused


class TestUrl:
    @pytest.mark.parametrize(
        ("path", "parameters"),
        [
            ("/status/200", {}),
            ("/status/204", {}),
            ("/status/404", {"expected_status": 404}),
            ("/status/404", {"expected_status": "4xx"}),
            ("/status/503", {"expected_status": ["2xx", 503]}),
            ("/text/all-is-well", {"expected_text": "is-well"}),
        ],
    )
    def test_healthy(self, run, http, path, parameters):
        """The status is one that is expected, and the text is in the answer."""
        output = run("service_health", {"url": http + path, **parameters})
        assert output["healthy"] is True
        assert output["status"] == (int(path.split("/")[2]) if "status" in path else 200)
        assert output["latency_ms"] > 0
        assert (output["service"], output["attempts"]) == (http + path, 1)

    @pytest.mark.parametrize(
        ("path", "parameters", "detail"),
        [
            ("/status/503", {}, "status 503, expected 2xx"),
            ("/status/200", {"expected_status": [201, "3xx"]}, "status 200, expected 201 or 3xx"),
            ("/text/down", {"expected_text": "up"}, 'status 200, but no "up" in it'),
            ("/hang", {"timeout": 0.2}, "no answer within 0.2 s"),
            ("/cut", {}, "disconnected"),
        ],
    )
    def test_unhealthy(self, run, http, path, parameters, detail):
        """Anything else fails the step, with what was seen in its output."""
        with pytest.raises(StepError, match=r"is not healthy") as failed:
            run("service_health", {"url": http + path, **parameters})
        assert failed.value.output.healthy is False
        assert detail in failed.value.output.detail

    def test_attempts(self, run, http):
        """It is looked at until it is healthy."""
        output = run("service_health", {"url": f"{http}/flaky", "attempts": 5, "interval_ms": 1})
        assert (output["healthy"], output["attempts"]) == (True, 3)

    def test_attempts_used_up(self, run, http):
        """And no more often than attempts says."""
        with pytest.raises(StepError) as failed:
            run("service_health", {"url": f"{http}/flaky", "attempts": 2, "interval_ms": 1})
        assert failed.value.output.attempts == 2

    def test_nobody_there(self, run, free_port):
        """A port nobody listens on is unhealthy, not an error of ours."""
        with pytest.raises(StepError, match=r"refused") as failed:
            run("service_health", {"url": f"http://127.0.0.1:{free_port}/"})
        assert failed.value.output.latency_ms is None

    def test_redirects(self, run, context, http):
        """Redirects are followed, and every host on the way is judged."""
        port = http.rpartition(":")[2]
        url = f"{http}/redirect/http:__localhost:{port}_status_200"
        assert run("service_health", {"url": url})["status"] == 200
        context.refused_hosts.add("localhost")
        with pytest.raises(StepRefused, match=r"not allowed"):
            run("service_health", {"url": url})

    def test_refused_host(self, run, context, http):
        """A host the policy forbids is refused."""
        context.refused_hosts.add("127.0.0.1")
        with pytest.raises(StepRefused, match=r"not allowed"):
            run("service_health", {"url": http})

    def test_credentials(self, run, context, http):
        """Credentials in a url are used, masked, and not shown."""
        url = http.replace("://", "://user:s3cr%65t@") + "/auth"
        output = run("service_health", {"url": url})
        assert output["status"] == 200
        assert output["service"] == f"{http}/auth"
        assert context.masked == ["s3cret"]

    def test_untrusted_certificate(self, run, tmp_path):
        """A certificate that cannot be trusted is not healthy."""
        import ssl
        import threading

        import trustme

        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            try:
                connection, _ = listener.accept()
                tls.wrap_socket(connection, server_side=True)
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(StepError, match=r"(?i)certificate"):
            run("service_health", {"url": f"https://127.0.0.1:{listener.getsockname()[1]}/"})
        thread.join()
        listener.close()


class TestPort:
    @pytest.fixture
    def port(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener.getsockname()[1]

    @pytest.mark.parametrize("name", ["host", "service"])
    def test_healthy(self, run, port, name):
        """A port that takes connections is healthy."""
        output = run("service_health", {name: "127.0.0.1", "port": str(port)})
        assert output == {
            "service": f"127.0.0.1:{port}",
            "healthy": True,
            "latency_ms": output["latency_ms"],
            "status": None,
            "attempts": 1,
            "detail": f"port {port} takes connections",
        }

    def test_in_one_word(self, run, port):
        """host:port is read as such."""
        assert run("service_health", {"service": f"localhost:{port}"})["healthy"] is True

    @pytest.mark.parametrize("host", ["[::1]", "::1"])
    def test_ipv6(self, run, host):
        """An IPv6 address, bracketed or not."""
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("no IPv6 here")
        with listener:
            port = listener.getsockname()[1]
            assert run("service_health", {"host": host, "port": port})["service"] == f"[::1]:{port}"

    @pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid", "a" * 64 + ".example"])
    def test_unhealthy(self, run, free_port, host):
        """A refused connection and a name nobody knows are unhealthy."""
        with pytest.raises(StepError, match=rf"{host}:{free_port} is not healthy"):
            run("service_health", {"host": host, "port": free_port, "timeout": 2})

    def test_full_backlog(self, run):
        """A port that does not take the connection in time is unhealthy."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            waiting = []
            for _ in range(8):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(address)
                waiting.append(one)
            with pytest.raises(StepError, match=r"no answer within 0.3 s"):
                run("service_health", {"host": "127.0.0.1", "port": address[1], "timeout": 0.3})
            for one in waiting:
                one.close()

    def test_refused_host(self, run, context, port):
        """A host the policy forbids is refused."""
        context.refused_hosts.add("127.0.0.1")
        with pytest.raises(StepRefused, match=r"not allowed"):
            run("service_health", {"host": "127.0.0.1", "port": port})


class TestProcess:
    def test_started_by_the_mission(self, run, start):
        """A process of the mission is known by its name, also after it has ended."""
        pid = start("import signal; signal.pause()", name="server")["pid"]
        assert run("service_health", {"process": "server"})["detail"] == f"pid {pid} runs"
        run("process_kill", {"name": "server"})
        with pytest.raises(StepError, match=r"has ended"):
            run("service_health", {"process": "server"})

    def test_by_program(self, run, tmp_path):
        """Any other process is known by its program, long names too."""
        program = tmp_path / "a-rather-long-program-name"
        program.symlink_to(sys.executable)
        process = subprocess.Popen([program, "-c", "import signal; signal.pause()"])
        try:
            assert run("service_health", {"process": program.name})["detail"] == f"pid {process.pid} runs"
        finally:
            process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            os.sched_yield()
        with pytest.raises(StepError, match=r"no such process runs"):
            run("service_health", {"process": program.name})
        assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"url": "http://x", "host": "x", "port": 1},
        {"host": "x"},
        {"host": "x", "port": 0},
        {"host": "x:99999"},
        {"url": "ftp://x"},
        {"url": "http://x", "port": 1},
        {"process": "x", "expected_status": 200},
        {"host": "x", "port": 1, "expected_text": "x"},
        {"url": "http://x", "expected_status": 99},
        {"url": "http://x", "attempts": 0},
    ],
)
def test_parameters(run, parameters):
    """One kind of service, with what belongs to it."""
    with pytest.raises(ValidationError):
        run("service_health", parameters)


@pytest.mark.parametrize("url", ["http://", "http://:80/", "http://x:99999/", "http://[::1/"])
def test_unreadable_url(run, url):
    """A url that cannot be read is refused, not looked at."""
    with pytest.raises(StepRefused):
        run("service_health", {"url": url})
