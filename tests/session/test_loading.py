"""The server extension as installed, in a real Jupyter server: nothing outside a job of ours, and a silent hub breaks nothing."""

import secrets
from pathlib import Path

import pytest
import requests
from emkit_hub.data_folder import free_ports
from playwright.sync_api import Page, expect

from tests.servers import TOKEN, Running, jupyter

HEADERS = {"Authorization": f"token {TOKEN}"}


def get(server: Running, path: str) -> requests.Response:
    return requests.get(server.url + path, headers=HEADERS, timeout=30)


def in_a_job(port: int) -> dict[str, str]:
    """The environment of a job whose hub listens at this port."""
    return {
        "EMKIT_JOB": f"test-{secrets.token_hex(4)}",
        "JUPYTERHUB_USER": "ann",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{port}/hub/api",
        "JUPYTERHUB_API_TOKEN": "a-token-of-the-test",
    }


def test_outside_a_job_there_is_nothing(tmp_path: Path) -> None:
    with jupyter("jupyterlab", home=tmp_path) as server:
        assert get(server, "emkit/session").status_code == 404
        assert "emkit-session" not in get(server, "lab").text


@pytest.mark.browser
def test_a_hub_that_does_not_answer_costs_its_news_and_nothing_else(tmp_path: Path, window: Page) -> None:
    (nobody,) = free_ports(1)
    with jupyter("jupyterlab", home=tmp_path, environment=in_a_job(nobody)) as server:
        get(server, "api/contents")  # counts as somebody's work
        before = get(server, "api/status").json()["last_activity"]
        state = get(server, "emkit/session").json()
        assert get(server, "api/status").json()["last_activity"] == before  # the clock of a page is nobody's work
        assert state["memory_mb"] > 20 and state["left_s"] is None and state["announcements"] == []
        assert "does not answer" in state["hub_silence"]
        window.goto(f"{server.url}lab?token={TOKEN}")
        window.locator(".emkit-session-item").click()
        dialog = window.locator("dialog.jp-Dialog")
        expect(dialog).to_contain_text("The hub does not answer")
        dialog.get_by_role("button", name="Save all and resubmit").click()
        expect(window.get_by_text("The session was not resubmitted. The hub does not answer")).to_be_visible()
        expect(window.locator(".emkit-session-item")).to_contain_text("MB")


def test_strangers_are_told_nothing(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    with jupyter("jupyter_server", home=tmp_path, environment=in_a_job(nobody)) as server:
        assert requests.get(server.url + "emkit/session", timeout=30).status_code == 403
        assert requests.post(server.url + "emkit/session/resubmit", timeout=30).status_code == 403
        cookies = requests.Session()
        cookies.get(f"{server.url}?token={TOKEN}", timeout=30)  # a page of another site has the cookie, but no XSRF token
        assert cookies.post(server.url + "emkit/session/resubmit", timeout=30).status_code == 403
