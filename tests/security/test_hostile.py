"""Hostile names, bodies, headers and notebooks against a running hub: refused in words, no error of the hub, no effect."""

import json
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import nbformat
import pytest
import requests
from emkit_hub.config import cookie_options
from emkit_hub.settings import NetworkSettings
from emkit_hub.visitor import NAVIGATION, Visitor

from tests.security.site import DASHBOARD, Site, ask

pytestmark = pytest.mark.hub

SHELL, PATH, MARKUP = "$(touch /tmp/emkit-hostile)", "../../../../etc/passwd", "<script>alert(1)</script>"
LONG, ODD = "x" * 2**20, "ü\u202e\0\r\nSet-Cookie: a=b"
TEXTS = [SHELL, PATH, MARKUP, LONG, ODD, "", " ", "-rf", "';--", "{{7*7}}", "%s%n", "\ud800"]
VALUES: list[object] = [*TEXTS, None, True, -1, 0, 2**64, 1e308, [], {}, [[]], {"$set": {}}]


def lives(site: Site) -> None:
    """The hub answers, and ann's server is where it was."""
    ann = site.people["ann"]
    assert requests.get(f"{site.hub.url}/hub/health", timeout=60).status_code == 200
    assert ann.visitor.get(f"/user/{ann.name}/api/status").status_code == 200


def post(site: Site, path: str, body: bytes | str, token: str, **headers: str) -> requests.Response:
    given = {"Authorization": f"token {token}", "Content-Type": "application/json", **headers}
    return requests.post(site.hub.url + path, data=body, headers=given, timeout=60)


def test_a_hostile_report_of_a_job_moves_nothing(people_site: Site) -> None:
    ann = people_site.people["ann"]
    good = {"job": ann.known["job"], "port": 40000}
    bodies = [json.dumps({**good, "job": value}) for value in VALUES]
    bodies += [json.dumps({**good, "port": value}) for value in VALUES]
    bodies += [json.dumps({**good, key: "id"}) for key in ("cmd", "ip", "batch_script", "__class__", "user", *TEXTS)]
    bodies += [json.dumps(value) for value in VALUES]
    bodies += ["", "{", '{"job": 1, "job": 2}', "NaN", "[" * 5000, '{"port": 1e999}']
    for body in bodies:
        answer = post(people_site, "/hub/api/emkit/job", body, ann.job_token)
        assert answer.status_code in (400, 403), (body[:80], answer.status_code)
    for raw in (b"\xff\xfe", b"\0" * 100, b"{" * 2**20):
        assert post(people_site, "/hub/api/emkit/job", raw, ann.job_token).status_code == 400
    lives(people_site)


def test_hostile_runs_of_a_server_are_refused(people_site: Site) -> None:
    bob = people_site.people["bob"]
    for body in [*(json.dumps([value]) for value in VALUES), *(json.dumps({"x": value}) for value in VALUES), "{", "[" * 5000]:
        answer = post(people_site, "/hub/api/emkit/runs", body, bob.job_token)
        assert answer.status_code in (400, 403, 413), (body[:80], answer.status_code, answer.text[:200])
    lives(people_site)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_a_hostile_name_is_no_name(people_site: Site, text: str) -> None:
    """As a login by PAM, as the user of a route, as a server's name, as a profile, as a note of a token."""
    url, bob, chief = people_site.hub.url, people_site.people["bob"], people_site.people["chief"]
    with Visitor(url) as visitor:
        assert not visitor.login(text.encode(errors="replace").decode(), "a password")
    quoted = quote(text.encode(errors="replace"), safe="")[:4000]  # more is refused by the proxy alone
    if quoted:
        for method, path in [
            ("GET", f"/hub/api/users/{quoted}"),
            ("POST", f"/hub/api/users/{quoted}"),
            ("POST", f"/hub/api/users/{quoted}/server"),
            ("GET", f"/user/{quoted}/lab"),
            ("GET", f"/hub/spawn/{quoted}"),
            ("GET", f"/services/dashboards/open/{quoted}"),
            ("GET", f"/hub/api/emkit/sessions/{quoted}/{quoted}"),
        ]:
            assert 400 <= ask(url, method, path, visitor=bob.visitor).status_code < 500, path[:80]
        made = ask(url, "POST", f"/hub/api/users/{quoted}", visitor=chief.visitor)  # an administrator is let do it
        assert made.status_code in (201, 400, 404), (made.status_code, made.text)
        if made.status_code == 201:
            started = ask(url, "POST", f"/hub/api/users/{quoted}/server", visitor=chief.visitor)
            assert 400 <= started.status_code < 504 and started.status_code != 500, (started.status_code, started.text[:300])
            assert ask(url, "DELETE", f"/hub/api/users/{quoted}", visitor=chief.visitor).status_code == 204
    lives(people_site)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://evil.example/", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {},
    ],
)
def test_another_site_cannot_press_a_users_buttons(people_site: Site, headers: Mapping[str, str]) -> None:
    """With the user's cookies, which the browser adds, but without the token, which only the hub's own pages know."""
    ann, url = people_site.people["ann"], people_site.hub.url
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    for path in (f"/hub/spawn/{ann.name}", f"/hub/api/users/{ann.name}/tokens", f"/user/{ann.name}/api/kernels"):
        for wrong in ("", "not-the-token", people_site.people["bob"].visitor.cookie("_xsrf", "/hub/")):
            answer = requests.post(
                url + path,
                data={"_xsrf": wrong},
                cookies=cookies(ann.visitor, path),
                headers=form,
                timeout=60,
                allow_redirects=False,
            )
            assert answer.status_code in (400, 403), (path, wrong, answer.status_code)  # 400: the API takes no forms


def cookies(visitor: Visitor, path: str) -> dict[str, str]:
    """What a browser would send to this path."""
    return {cookie.name: str(cookie.value) for cookie in visitor.session.cookies if path.startswith(cookie.path)}


@pytest.mark.parametrize(
    "towards", ["//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_this_site_only(people_site: Site, towards: str) -> None:
    with Visitor(people_site.hub.url) as visitor:
        visitor.get("/hub/login")
        form = {"username": "x", "password": people_site.hub.folder.workshop_password, "_xsrf": visitor.cookie("_xsrf", "/hub/")}
        answer = visitor.session.post(
            f"{visitor.url}/hub/login", params={"next": towards}, data=form, headers=NAVIGATION, allow_redirects=False, timeout=60
        )
        assert answer.status_code == 302
        led = answer.headers["Location"]
        assert led.startswith("/") and not led.startswith(("//", "/\\")) and urlsplit(led).netloc == "", led


def test_cookies_are_for_this_site_and_closed_to_scripts(people_site: Site) -> None:
    found = {}
    for visitor in (people_site.people["ann"].visitor, people_site.people["guest"].visitor):
        for cookie in visitor.session.cookies:
            if cookie.value and "oauth-state" not in cookie.name:
                found[f"{cookie.name} {cookie.path}"] = cookie
    assert len(found) >= 6
    for name, cookie in found.items():
        rest = {key.lower(): value for key, value in cookie._rest.items()}  # type: ignore[attr-defined]  # requests keeps them there
        assert rest.get("samesite") == "Lax" or name.startswith("_xsrf"), name
        assert "httponly" in rest or name.startswith("_xsrf"), name  # that one is read by the page's own script, on purpose
        assert cookie.path != "/" or cookie.name == "jupyterhub-session-id", name
        assert not cookie.domain_specified, name


@pytest.mark.parametrize(
    ("network", "secure"),
    [
        ({}, False),
        ({"public_url": "http://em.example.org"}, False),
        ({"public_url": "https://em.example.org"}, True),
        ({"certificate": "/etc/em.pem", "key": "/etc/em.key", "public_url": "https://em.example.org"}, True),
    ],
)
def test_cookies_are_secure_where_people_come_by_tls(network: dict[str, str], secure: bool) -> None:
    assert cookie_options(NetworkSettings.model_validate(network)).get("secure", False) is secure


def test_no_page_may_be_framed_by_another_site_or_tell_its_address(people_site: Site) -> None:
    ann, url = people_site.people["ann"], people_site.hub.url
    for path in (
        "/hub/login",
        "/hub/home",
        "/hub/token",
        "/services/overview/",
        "/services/dashboards/",
        "/hub/nothing",
    ):
        answer = ask(url, "GET", path, visitor=ann.visitor)
        assert not framed_by_others(answer), path
        assert answer.headers.get("Referrer-Policy") == "same-origin", path
    for path in ("lab", "api/status", "files/secret.txt", "emkit/v/x/"):
        assert not framed_by_others(ask(url, "GET", f"/user/{ann.name}/{path}", visitor=ann.visitor)), path


def framed_by_others(answer: requests.Response) -> bool:
    policy = answer.headers["Content-Security-Policy"]
    return "frame-ancestors 'none'" not in policy and "frame-ancestors 'self'" not in policy


def test_a_users_file_is_shown_without_the_rights_of_the_page(people_site: Site) -> None:
    """HTML that somebody was sent runs in a sandbox without an origin: it cannot speak to the hub in its reader's name."""
    ann = people_site.people["ann"]
    with ann.visitor.kernel() as kernel:
        kernel.run(f"open('sent.html', 'w').write({MARKUP!r})")
    policy = ann.visitor.get(f"/user/{ann.name}/files/sent.html").headers["Content-Security-Policy"]
    assert "sandbox" in policy and "allow-same-origin" not in policy


def test_a_token_in_an_address_opens_nothing(people_site: Site) -> None:
    """So none lands in histories, logs and Referer headers."""
    ann, url = people_site.people["ann"], people_site.hub.url
    for path in (f"/hub/api/users/{ann.name}", f"/user/{ann.name}/api/status", "/services/dashboards/", "/services/overview/"):
        answer = requests.get(f"{url}{path}?token={ann.token}", timeout=60)
        assert answer.status_code == 403 or urlsplit(answer.url).path == "/hub/login", path


def test_an_administrator_is_asked_before_entering_somebodys_server(people_site: Site) -> None:
    """So a link in a message does not make them run that server's pages with an administrator's session."""
    ann, chief = people_site.people["ann"], people_site.people["chief"]
    page = ask(people_site.hub.url, "GET", f"/user/{ann.name}/lab", visitor=chief.visitor)
    assert urlsplit(page.url).path == "/hub/api/oauth2/authorize" and "Authorize" in page.text


def test_a_code_for_anothers_server_is_worth_nothing_there(people_site: Site) -> None:
    """JupyterHub gives a code to whoever asks; it names its bearer, and the server asks the hub whether they may enter."""
    ann, bob, url = people_site.people["ann"], people_site.people["bob"], people_site.hub.url
    with requests.Session() as browser:
        browser.cookies.update(bob.visitor.session.cookies)
        first = browser.get(f"{url}/user/{ann.name}/lab", headers=NAVIGATION, allow_redirects=False)
        asked = first.headers["Location"]
        form = {"_xsrf": bob.visitor.cookie("_xsrf", "/hub/")}
        given = browser.post(url + asked, data=form, headers={**NAVIGATION, "Referer": url + asked}, allow_redirects=False)
        assert given.status_code == 302 and "code=" in given.headers["Location"]
        answer = browser.get(url + given.headers["Location"], headers=NAVIGATION)
        assert answer.status_code >= 400  # the hub does not change it for a token
        answer = browser.get(f"{url}/user/{ann.name}/api/status", headers=NAVIGATION, allow_redirects=False)
        assert answer.status_code == 403


def test_a_hostile_notebook_does_not_leave_the_gallery(people_site: Site) -> None:
    """Only an administrator can put one there; its words are shown as words, and a link out of the folder is no dashboard."""
    folder, guest = people_site.hub.folder.dashboards, people_site.people["guest"]
    described = {"dashboard": True, "title": MARKUP, "summary": f"{MARKUP}{{{{7*7}}}}", "picture": PATH}
    kernel = {"name": "../../evil", "display_name": SHELL, "language": MARKUP}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")], metadata={"emkit": described, "kernelspec": kernel})
    nbformat.write(notebook, folder / "hostile.ipynb")
    (folder / "outside.ipynb").symlink_to(people_site.hub.folder.secret_file("owner-password"))
    (folder / "pipe.ipynb").symlink_to("/dev/zero")
    try:
        page = guest.visitor.get("/services/dashboards/").text
        assert MARKUP not in page and people_site.hub.folder.owner_password not in page
        assert "&lt;script&gt;" in page and "49" not in page.partition("&lt;script&gt;")[2][:60]
        for name in ("outside", "pipe", PATH, "..%2f..%2fsecrets%2fowner-password"):
            answer = ask(people_site.hub.url, "GET", f"/services/dashboards/open/{name}", visitor=guest.visitor)
            assert answer.status_code == 404, (name, answer.status_code)
    finally:
        for name in ("hostile", "outside", "pipe"):
            (folder / f"{name}.ipynb").unlink()


@pytest.mark.parametrize(
    "query",
    [f"?path={PATH}", f"?notebook={PATH}", "?kernel_name=../../x", f"?out={SHELL}", f"?template={MARKUP}", "?" + "a=b&" * 500],
)
def test_a_dashboards_address_takes_no_parameters(people_site: Site, query: str) -> None:
    """Voila would hand them to the notebook; a guest's reach neither its code nor its environment nor the page."""
    visitor = people_site.people["other guest"].visitor
    answer = visitor.get(f"/services/dashboards/open/{DASHBOARD}{query}")
    assert answer.status_code == 200 and MARKUP not in answer.text and "root:x" not in answer.text
