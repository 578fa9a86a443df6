"""Who gets in with which password, and what a workshop login may not do."""

import pytest
from emkit_hub.running import RunningHub
from emkit_hub.visitor import Visitor

pytestmark = pytest.mark.hub

# What a guest's browser or program could try. NAME is the guest, OTHER another guest.
FORBIDDEN = [
    ("GET", "/hub/spawn"),
    ("GET", "/hub/spawn/NAME"),
    ("GET", "/hub/spawn/owner"),
    ("POST", "/hub/spawn"),
    ("POST", "/hub/spawn/NAME"),
    ("GET", "/hub/user/NAME/lab"),
    ("GET", "/hub/user/owner/lab"),
    ("GET", "/hub/admin"),
    ("GET", "/hub/metrics"),
    ("POST", "/hub/api/users/NAME/server"),
    ("POST", "/hub/api/users/NAME/servers/second"),
    ("POST", "/hub/api/users/owner/server"),
    ("DELETE", "/hub/api/users/owner/server"),
    ("GET", "/hub/api/users/NAME/server/progress"),
    ("POST", "/hub/api/users/NAME/tokens"),
    ("GET", "/hub/api/users/NAME/tokens"),
    ("POST", "/hub/api/users/owner/tokens"),
    ("GET", "/hub/api/users"),
    ("POST", "/hub/api/users"),
    ("GET", "/hub/api/users/owner"),
    ("GET", "/hub/api/users/OTHER"),
    ("PATCH", "/hub/api/users/NAME"),
    ("DELETE", "/hub/api/users/NAME"),
    ("POST", "/hub/api/users/mallory"),
    ("POST", "/hub/api/users/NAME/activity"),
    ("GET", "/hub/api/groups"),
    ("POST", "/hub/api/groups/admins"),
    ("GET", "/hub/api/services"),
    ("GET", "/hub/api/proxy"),
    ("POST", "/hub/api/proxy"),
    ("POST", "/hub/api/shutdown"),
    ("GET", "/hub/api/info"),
    ("POST", "/hub/api/shares/owner/"),
    ("GET", "/hub/api/users/NAME/shared"),
    ("POST", "/hub/api/emkit/job"),
]


@pytest.mark.parametrize(
    ("name", "password", "gets_in"),
    [
        ("owner", "OWNER", True),
        ("OWNER", "OWNER", True),
        ("owner", "WORKSHOP", False),
        ("ann", "OWNER", False),
        ("ann", "WORKSHOP", True),
        ("root", "WORKSHOP", True),
        ("../../x", "WORKSHOP", True),
        ("a b/ö\n", "WORKSHOP", True),
        ("x" * 10000, "WORKSHOP", True),
        ("owner", "", False),
        ("owner", "pä" * 20, False),
        ("ann", "\udcff", False),
    ],
)
def test_which_password_opens_for_whom(hub: RunningHub, name: str, password: str, gets_in: bool) -> None:
    typed = {"OWNER": hub.folder.owner_password, "WORKSHOP": hub.folder.workshop_password}.get(password, password)
    with Visitor(hub.url) as visitor:
        assert visitor.login(name, typed.encode(errors="surrogateescape").decode(errors="replace")) is gets_in
        if gets_in and password == "WORKSHOP":
            assert visitor.name.startswith("w-") and visitor.name.isascii() and "/" not in visitor.name


def test_the_same_name_twice_is_two_guests(hub: RunningHub, guest: Visitor) -> None:
    with Visitor(hub.url) as second:
        assert second.login(guest.name, hub.folder.workshop_password)
        assert second.name != guest.name


def test_a_login_leads_where_its_password_opens(hub: RunningHub, guest: Visitor, owner: Visitor) -> None:
    gallery = guest.get("/")
    assert gallery.url.startswith(f"{hub.url}/services/dashboards/") and "One-account mode" not in gallery.text  # of no use to them
    assert owner.get("/").url == f"{hub.url}/services/overview/"


def test_the_first_page_names_the_two_passwords_and_the_mode(hub: RunningHub) -> None:
    with Visitor(hub.url) as visitor:
        text = visitor.get("/hub/login").text
    for part in ("Owner's password", "Workshop's password", "One-account mode", "This hub is a test."):
        assert part in text


@pytest.mark.parametrize(("method", "path"), FORBIDDEN)
def test_what_the_workshops_password_does_not_open(hub: RunningHub, guest: Visitor, method: str, path: str) -> None:
    with Visitor(hub.url) as other:
        assert other.login("other", hub.folder.workshop_password)
        answer = guest.call(method, path.replace("NAME", guest.name).replace("OTHER", other.name), None if method == "GET" else {})
    assert answer.status_code in (403, 404), answer.text


def test_a_guest_does_not_reach_the_owners_server(guest: Visitor, owner: Visitor) -> None:
    assert owner.start_server()[-1]["ready"]
    for path in ("lab", "api/contents", "api/kernels", "terminals/websocket/1"):
        assert guest.call("GET", f"/user/owner/{path}").status_code in (302, 403), path
    assert guest.get("/user/owner/lab").status_code == 403


def test_a_second_lab_user_is_refused_in_words(owner: Visitor) -> None:
    assert owner.call("POST", "/hub/api/users/second").status_code == 201
    answer = owner.call("POST", "/hub/api/users/second/server")
    assert answer.status_code == 403
    assert "one-account mode" in answer.json()["message"]
