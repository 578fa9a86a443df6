"""The first process of a job, against a real HTTP server that stands for the hub."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

SERVER = [sys.executable, "-c", "import os, sys; print(os.environ['JUPYTERHUB_SERVICE_URL'], sys.argv[1:])", "--a", "b c"]


class Hub(BaseHTTPRequestHandler):
    """Answers with the server's list of statuses, one after the other, and remembers what it was told."""

    server: "HubServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.append((self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(self.server.answers.pop(0))
        self.end_headers()
        self.wfile.write(b"so says the hub")

    def log_message(self, *_: object) -> None:
        return


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.told: list[tuple[str, str, dict[str, object]]] = []
        self.answers: list[int] = []


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def launch(hub: HubServer, *answers: int, **environment: str) -> subprocess.CompletedProcess[str]:
    hub.answers = list(answers)
    env = {
        **os.environ,
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.server_port}/hub/api",
        "JUPYTERHUB_API_TOKEN": "a token",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/ann/",
        "EMKIT_JOB": "job-1",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "emkit_spawner.singleuser", *SERVER], env=env, capture_output=True, text=True, timeout=60
    )


def test_it_reports_a_free_port_and_becomes_the_server_there(hub: HubServer) -> None:
    done = launch(hub, 204)
    ((path, authorization, body),) = hub.told
    assert (path, authorization, body["job"], set(body)) == ("/hub/api/emkit/job", "token a token", "job-1", {"job", "port"})
    assert done.stdout == f"http://127.0.0.1:{body['port']}/user/ann/ ['--a', 'b c']\n"
    assert isinstance(body["port"], int)
    socket.create_server(("127.0.0.1", body["port"])).close()


def test_a_hub_that_is_restarting_is_asked_again(hub: HubServer) -> None:
    done = launch(hub, 503, 502, 204)
    assert done.returncode == 0 and len(hub.told) == 3
    assert "does not answer yet (503 so says the hub)" in done.stderr


def test_a_refusal_ends_the_job_with_the_hubs_words(hub: HubServer) -> None:
    done = launch(hub, 403)
    assert done.returncode != 0 and done.stdout == ""
    assert "The hub refused this job's report: 403 so says the hub" in done.stderr


def test_a_proxy_of_the_environment_never_sees_the_token(hub: HubServer) -> None:
    assert launch(hub, 204, http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9").returncode == 0


def test_it_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, emkit_spawner.singleuser; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": "spawner"}, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) - {"__main__"} == {"emkit_spawner"}
