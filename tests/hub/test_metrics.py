"""What an operator sees: each metric that the Grafana board asks for is one that a real hub exports, to those who may read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor

pytestmark = pytest.mark.hub

BOARD = Path(__file__).parents[2] / "hub" / "deploy" / "grafana-emkit.json"
NAME = re.compile(r"\b(?:emkit|jupyterhub|process)_[a-z_]+\b")


def expressions() -> Iterator[str]:
    for panel in json.loads(BOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def metrics(hub: RunningHub, token: str) -> requests.Response:
    return requests.get(f"{hub.url}/hub/metrics", headers={"Authorization": f"token {token}"}, timeout=60)


def test_a_real_hub_exports_every_metric_of_the_board(hub: RunningHub, owner: Visitor) -> None:
    assert owner.start_server()[-1]["ready"]
    answer = metrics(hub, hub.folder.metrics_token)
    assert answer.status_code == 200
    exported = {re.split(r"[{ ]", line)[0] for line in answer.text.splitlines() if line and not line.startswith("#")}
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 10 and asked <= exported, asked - exported


def test_the_board_has_a_panel_for_every_metric_of_the_spawner(hub: RunningHub) -> None:
    text = metrics(hub, hub.folder.metrics_token).text
    families = set(re.findall(r"^# TYPE (emkit_[a-z_]+) (?!gauge .*_created)", text, re.M))
    families = {name for name in families if not name.endswith("_created")}
    shown = " ".join(expressions())
    assert families and [name for name in families if name not in shown] == []


def test_metrics_are_not_for_everybody(hub: RunningHub, guest: Visitor) -> None:
    assert metrics(hub, "0" * 32).status_code == 403
    assert requests.get(f"{hub.url}/hub/metrics", timeout=60).status_code == 403
    assert guest.call("GET", "/hub/metrics").status_code == 403
    token = {"Authorization": f"token {hub.folder.metrics_token}"}
    assert requests.get(f"{hub.url}/hub/api/users", headers=token, timeout=60).status_code == 403  # and it opens nothing else


def test_each_panel_is_complete() -> None:
    board = json.loads(BOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert panel["title"] and panel["targets"] and panel["datasource"]["uid"] == "${datasource}"
        right = panel["gridPos"]["x"] + panel["gridPos"]["w"]
        assert right <= 24
