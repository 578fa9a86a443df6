"""What a server tells the hub of its user's runs: in the hub's words, when something has changed, quietly."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from emkit_hub.overview.runs import BODY_BYTES, Posted

import emkit
from emkit.run.drive import begin
from emkit.run.folder import RunFolder, State
from emkit.run.step import bind
from emkit.runs.glance import Glances
from emkit.server.telling import Telling, posting


class Hub(HTTPServer):
    """Takes what is posted, as long as it listens; `heard`: path, token and runs of each posting."""

    heard: list[tuple[str, str, Posted]]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, self.headers["Authorization"], Posted.model_validate_json(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def listening(port: int = 0) -> Iterator[Hub]:
    with Hub(("127.0.0.1", port), _Handler) as hub:
        hub.heard = []
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMKIT_RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path


def begun(out: str = "raw", **more: int) -> RunFolder:
    return begin(bind(emkit.make_phantom, out=out, sections=2, size_px=64, **more), overwrite=False)


def test_every_state_in_the_words_of_the_hub(folder: Path) -> None:
    emkit.make_phantom(out=Path("done"), sections=2, size_px=64)
    begun().say(State.FAILED, "row 3 holds NaN\nand more", exit_code=3)
    begun()
    with (driven := begun()).driven():
        running = Posted.model_validate_json(posting(Glances().newest(50))).runs[0]
    told = Posted.model_validate_json(posting(Glances().newest(50))).runs
    assert running.state == "running" and running.id == driven.id and running.ended_at is None
    assert [run.state for run in told] == ["done", "interrupted", "failed", "done"]
    assert told[2].message == "row 3 holds NaN" and told[3].title == str(folder / "done") and told[3].step == "make_phantom"
    for run in told:
        assert run.began_at and run.ended_at and run.ended_at >= run.began_at - 1


def test_what_is_told_is_never_more_than_the_hub_takes(folder: Path) -> None:
    for _ in range(55):
        begun(out="深" * 60).say(State.FAILED, "長" * 900, exit_code=3)
    body = posting(Glances().newest(60))
    assert len(body) <= BODY_BYTES and 20 < len(Posted.model_validate_json(body).runs) <= 50


def test_it_is_told_once_for_each_change_and_again_when_the_hub_is_back(folder: Path) -> None:
    run = begun()
    with listening() as hub:
        telling = Telling(f"http://127.0.0.1:{hub.server_port}/hub/api/emkit/runs", "secret")
        assert telling.look() and not telling.look()
        run.say(State.CANCELLED)
        assert telling.look() and not telling.look()
    assert [path for path, *_ in hub.heard] == ["/hub/api/emkit/runs"] * 2 and hub.heard[0][1] == "token secret"
    assert [posted.runs[0].state for *_, posted in hub.heard] == ["interrupted", "cancelled"]
    run.say(State.DONE)
    assert not telling.look(), "nobody listens"
    with listening(hub.server_port) as hub:
        assert telling.look() and hub.heard[0][2].runs[0].state == "done"


def test_what_is_no_run_is_passed_over(folder: Path) -> None:
    run = begun()
    for name, text in (("20200101T000000-a", "{"), ("20200101T000000-b", "{}"), ("renamed", None)):
        (folder / "runs" / name).mkdir()
        (folder / "runs" / name / "state.json").write_text(text or (run.path / "state.json").read_text())
    (folder / "runs" / "renamed" / "run.json").write_text((run.path / "run.json").read_text())
    told = json.loads(posting(Glances().newest(50)))["runs"]
    assert {one["id"] for one in told} == {run.id, "renamed"}


def test_without_a_hub_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTERHUB_API_URL", raising=False)
    assert Telling.of_environment() is None
    for name, value in {"API_URL": "http://127.0.0.1:1/hub/api/", "API_TOKEN": "t", "USER": "ann"}.items():
        monkeypatch.setenv(f"JUPYTERHUB_{name}", value)
    telling = Telling.of_environment()
    assert telling and telling.url == "http://127.0.0.1:1/hub/api/emkit/runs" and telling.certificates is None
