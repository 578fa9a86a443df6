"""What the page shows of real servers, to whom, and how often it asks for it."""

import time
from collections.abc import Iterator

import pytest
from emkit_hub.running import RunningHub
from emkit_hub.visitor import NAVIGATION, Visitor

from tests.overview.conftest import LogIn

pytestmark = pytest.mark.hub

PAGE = "/services/overview/"
TICK_S = 0.5  # in the settings of the tests
QUESTION = "GET /hub/api/emkit/system"


def live(visitor: Visitor) -> str:
    answer = visitor.call("GET", f"{PAGE}live")
    assert answer.status_code == 200, answer.text
    return answer.text


def shown(visitor: Visitor, *words: str) -> str:
    """The page, once it shows all of these words; it asks itself every half second."""
    last = time.monotonic() + 60
    while any(word not in (text := live(visitor)) for word in words):
        assert time.monotonic() < last, f"{words} are not all in {text}"
        time.sleep(0.2)
    return text


@pytest.fixture
def running(ann: Visitor) -> Iterator[Visitor]:
    """Ann with a server; without one before and after."""
    assert ann.start_server({"profile": "small"})[-1]["ready"]
    yield ann
    if ann.call("GET", "/hub/api/users/ann").json()["servers"]:
        ann.stop_server()


def test_a_session_from_its_start_to_its_efficiency(hub: RunningHub, running: Visitor, log_in: LogIn) -> None:
    text = shown(running, "this machine", "Time left", "1\N{NO-BREAK SPACE}h\N{NO-BREAK SPACE}59", "of 1.95\N{NO-BREAK SPACE}GB")
    assert 'href="/user/ann/"' in text and "small" in text and 'aria-label="Memory"' in text
    (job_id,) = {word.strip("<>") for word in text.replace("<", " ").replace(">", " ").split() if "-ann-" in word}
    bob = log_in("bob")
    shown(bob, "My sessions", "Start")
    assert job_id not in bob.get(PAGE).text + live(bob) and "Everybody" not in live(bob)
    shown(log_in("boss"), "Everybody", job_id)
    form = {"_xsrf": running.cookie("_xsrf", PAGE), "server": ""}
    for other in (bob, running):  # with Bob's login the button stops Bob's server, which is none
        form["_xsrf"] = other.cookie("_xsrf", PAGE)
        stopped = other.session.post(f"{hub.url}{PAGE}stop", data=form, headers=NAVIGATION, timeout=60, allow_redirects=False)
        assert (stopped.status_code, stopped.headers["Location"]) == (303, PAGE)
        assert ("ann" in str(running.call("GET", "/hub/api/users/ann").json()["servers"])) is (other is bob) or other is running
    shown(running, "not running", "ended", "small, ")
    assert job_id not in live(running)


def test_a_start_that_failed_says_why_to_its_user_and_to_admins(hub: RunningHub, log_in: LogIn) -> None:
    eve = log_in("eve")
    assert eve.call("POST", "/hub/api/users/eve/servers/second", {"profile": "<i>"}).status_code == 400
    for visitor in (eve, log_in("boss")):
        assert "There is no profile &#39;&lt;i&gt;&#39;" in shown(visitor, "There is no profile")
    assert "There is no profile" not in live(log_in("bob"))


def test_one_question_a_tick_whoever_looks(hub: RunningHub, log_in: LogIn) -> None:
    visitors = [log_in(name) for name in ("ann", "bob", "boss", "carl", "dora")]
    for visitor in visitors:
        live(visitor)
    before, began, asked = hub.log("hub").read_text().count(QUESTION), time.monotonic(), 0
    while asked < 3:
        for visitor in visitors:
            live(visitor)
        asked = hub.log("hub").read_text().count(QUESTION) - before
    assert asked <= (time.monotonic() - began) / TICK_S + 2  # one that was under way at either end


def test_the_question_is_for_those_alone_who_may_read_everything(hub: RunningHub, ann: Visitor, log_in: LogIn) -> None:
    for visitor in (ann, log_in("bob")):
        assert visitor.call("GET", "/hub/api/emkit/system?of=boss").status_code == 403
