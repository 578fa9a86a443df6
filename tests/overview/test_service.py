"""The service behind a real hub: who may do what, and what comes of hostile requests."""

import html
import json
from contextlib import suppress

import pytest
import requests
from emkit_hub.overview.runs import BODY_BYTES
from emkit_hub.running import RunningHub
from emkit_hub.visitor import NAVIGATION, Visitor

from tests.overview.conftest import LogIn

pytestmark = pytest.mark.hub

PAGE = "/services/overview/"
API = f"{PAGE}api/announcements"
HOSTILE = "</p><script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202e\u0000"
RUNS = {"runs": [{"id": "r1", "step": "align_sections", "state": "running", "title": "Section 12", "done": 0.42}]}


def token_of(visitor: Visitor, **wanted: object) -> str:
    """A token of the visitor's own, as for a script."""
    return str(visitor.call("POST", f"/hub/api/users/{visitor.name}/tokens", wanted).json()["token"])


def with_token(hub: RunningHub, token: str, method: str, path: str, body: bytes | str = "") -> requests.Response:
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    return requests.request(method, hub.url + path, data=body, headers=headers, allow_redirects=False, timeout=60)


def test_a_login_leads_there_and_a_guest_of_nobody_to_the_login(hub: RunningHub, ann: Visitor) -> None:
    assert ann.get("/").url == hub.url + PAGE
    with Visitor(hub.url) as stranger:
        assert "/hub/login" in stranger.get(PAGE).url
        assert stranger.call("GET", f"{PAGE}live").status_code == 403
        assert stranger.call("GET", f"{PAGE}emkit.css").status_code == 200  # the page that refuses is to look like the others


def test_pages_load_nothing_from_elsewhere_and_are_framed_by_nobody(ann: Visitor) -> None:
    headers = ann.get(PAGE).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")


def test_an_announcement_is_seen_everywhere_as_text(hub: RunningHub, boss: Visitor, ann: Visitor) -> None:
    posted = boss.call("POST", API, {"text": HOSTILE.rstrip("\0"), "level": "outage"})
    assert posted.status_code == 201
    server = token_of(ann)
    with Visitor(hub.url) as stranger:
        pages = [boss.get(PAGE), ann.get(PAGE), ann.get("/hub/spawn"), ann.get("/services/dashboards/"), stranger.get("/hub/login")]
    for page in pages:
        assert "alert(1)" in html.unescape(page.text), page.url
        assert "<script>alert" not in page.text and "<img src=x" not in page.text and "{{ 7 * 7 }}" in page.text, page.url
    told = [ann.call("GET", API).json(), with_token(hub, server, "GET", "/hub/api/emkit/announcements").json()]
    assert told == [[posted.json()]] * 2 and set(posted.json()) == {"id", "text", "level", "since", "until"}


def test_the_form_of_an_admin(hub: RunningHub, boss: Visitor, ann: Visitor) -> None:
    def fill(visitor: Visitor, **fields: str) -> requests.Response:
        form = {"_xsrf": visitor.cookie("_xsrf", PAGE), **fields}
        return visitor.session.post(f"{hub.url}{PAGE}announce", data=form, headers=NAVIGATION, timeout=60)

    assert "Only administrators" in fill(ann, text="mine", level="info", hours="").text
    refused = fill(boss, text="half <b>", level="loud", hours="")
    assert refused.status_code == 400 and "Not announced" in refused.text and "half &lt;b&gt;" in refused.text
    for hours in ("nan", "inf", "1e12", "-1", "soon"):
        assert fill(boss, text="when", level="info", hours=hours).status_code == 400, hours
    assert "Maintenance on Friday" in fill(boss, text="Maintenance on Friday", level="warning", hours="24").text
    (one,) = ann.call("GET", API).json()
    assert 86000 < one["until"] - one["since"] <= 86400
    form = {"_xsrf": boss.cookie("_xsrf", PAGE), "id": one["id"]}
    boss.session.post(f"{hub.url}{PAGE}withdraw", data=form, headers=NAVIGATION, timeout=60)
    assert ann.call("GET", API).json() == []


def test_only_admins_announce_and_withdraw(hub: RunningHub, boss: Visitor, ann: Visitor) -> None:
    one = boss.call("POST", API, {"text": "stays"}).json()
    for token in (token_of(ann), token_of(boss, scopes=["read:users:name!user", "access:services!service=overview"])):
        assert with_token(hub, token, "POST", API, '{"text": "no"}').status_code == 403
        assert with_token(hub, token, "DELETE", f"{API}/{one['id']}").status_code == 403
    assert ann.call("POST", API, {"text": "no"}).status_code == 403
    assert ann.call("DELETE", f"{API}/{one['id']}").status_code == 403
    assert ann.call("GET", API).json() == [one]
    assert with_token(hub, token_of(boss), "DELETE", f"{API}/{one['id']}").status_code == 204
    assert boss.call("DELETE", f"{API}/{one['id']}").status_code == 404
    assert boss.call("POST", API, {"text": "a", "colour": "red"}).json()["message"] == "colour: Extra inputs are not permitted"
    with suppress(requests.ConnectionError):  # cut off before it is read, and perhaps before the answer is
        assert boss.session.post(hub.url + API, data=b"x" * 300_000, timeout=60).status_code >= 400
    assert boss.call("GET", API).json() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "announce", "text=forged&level=info&hours="),
        ("POST", "withdraw", "id=1"),
        ("POST", "stop", "server="),
        ("POST", "api/announcements", '{"text": "forged"}'),
        ("DELETE", "api/announcements/1", ""),
        ("GET", "live", ""),
    ],
)
@pytest.mark.parametrize("forged", [{}, {"X-XSRFToken": "guessed"}, {"X-XSRFToken": "of another"}])
def test_without_the_token_of_the_page_no_cookie_counts(
    hub: RunningHub, boss: Visitor, ann: Visitor, method: str, path: str, body: str, forged: dict[str, str]
) -> None:
    if forged.get("X-XSRFToken") == "of another":
        forged = {"X-XSRFToken": ann.cookie("_xsrf", PAGE)}
    form = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
    headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site", "Content-Type": form, **forged}
    answer = boss.session.request(method, f"{hub.url}{PAGE}{path}", data=body, headers=headers, timeout=60, allow_redirects=False)
    assert answer.status_code == 403
    assert boss.call("GET", API).json() == []


def test_runs_are_told_by_the_users_token_and_seen_by_the_user_alone(hub: RunningHub, ann: Visitor, log_in: LogIn) -> None:
    bob = log_in("bob")
    posted = with_token(hub, token_of(ann), "POST", "/hub/api/emkit/runs", json.dumps(RUNS))
    assert posted.status_code == 204, posted.text
    mine = ann.call("GET", f"{PAGE}api/runs").json()
    assert mine["runs"][0] | RUNS["runs"][0] == mine["runs"][0]
    assert "Section 12" in ann.get(PAGE).text and "42" in ann.get(PAGE).text
    assert bob.call("GET", f"{PAGE}api/runs").json() is None
    assert "Section 12" not in bob.get(PAGE).text + log_in("boss").get(PAGE).text
    hostile = {"runs": [{**RUNS["runs"][0], "title": HOSTILE[:200], "message": HOSTILE}]}
    assert with_token(hub, token_of(ann), "POST", "/hub/api/emkit/runs", json.dumps(hostile)).status_code == 204
    page = ann.get(PAGE).text
    assert "alert(1)" in page and "<script>alert" not in page


def test_what_is_refused_as_runs(hub: RunningHub, ann: Visitor) -> None:
    token, path = token_of(ann), "/hub/api/emkit/runs"
    wrong = json.dumps({"runs": [{**RUNS["runs"][0], "state": "dancing"}]})
    refused = with_token(hub, token, "POST", path, wrong)
    assert refused.status_code == 400 and "runs.0.state" in refused.json()["message"]
    assert with_token(hub, token, "POST", path, b"\xff{").status_code == 400
    assert with_token(hub, token, "POST", path, b" " * (BODY_BYTES + 1)).status_code == 413
    weak = token_of(ann, scopes=["read:users:name!user", "access:services!service=overview"])
    assert with_token(hub, weak, "POST", path, json.dumps(RUNS)).status_code == 403
    assert with_token(hub, "0" * 32, "POST", path, json.dumps(RUNS)).status_code == 403
    assert ann.call("POST", path, RUNS).status_code == 403  # a login is no server


def test_no_page_is_made_of_a_name(ann: Visitor) -> None:
    assert ann.call("GET", f"{PAGE}start?server=second").headers["Location"] == "/hub/spawn/ann/second"
    for name in ("", "../../x", "a/b", "//evil.example", "a" * 65, "ä", "%0d%0aX: 1"):
        assert ann.call("GET", f"{PAGE}start?server={name}").status_code == 400, name
    assert ann.call("GET", f"{PAGE}pages/base.html").status_code == 404
    assert ann.call("GET", f"{PAGE}../../etc/passwd").status_code in (302, 404)
