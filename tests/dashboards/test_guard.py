"""Who gets what: every route, asked by nobody, by a guest, by another guest, and from elsewhere."""

import uuid

import aiohttp
import pytest

from tests.dashboards.site import NAVIGATE, PASSWORD, Guest, Site

pytestmark = [pytest.mark.hub, pytest.mark.asyncio(loop_scope="function")]

SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
OPEN_TO_GUESTS = ("", "style.css", "place.js", "voila/static/voila.js", "voila/templates/lab/static/voila-style.js")
GONE = (
    *(
        "voila/files/slider.ipynb",
        "voila/api/contents",
        "voila/tree",
        "voila/render/slider.ipynb",
        "voila/query/{kernel}",
        "voila/execution/{kernel}",
    ),
    *(
        "api/contents",
        "api/terminals",
        "api/sessions",
        "api/kernels",
        "api/kernelspecs",
        "lab",
        "login",
        "logout",
        "files/slider.ipynb",
        "metrics",
    ),
)
TRICKS = (
    *(
        "open/private",
        "open/..%2fprivate",
        "open/%2e%2e/%2e%2e/etc/passwd",
        "open/slider.ipynb",
        "open/slider%00",
        "open/",
        "open/.",
        "open//etc/passwd",
    ),
    *("picture/slider", "picture/..%2fslider", "picture/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "voila/static/..%2f..%2f..%2fapp.py"),
    *(
        "voila/static/%2e%2e/%2e%2e/%2e%2e/app.py",
        "voila/labextensions/..%2f..%2fx",
        "voila/api/themes/..%2f..%2fx",
        "voila/static//etc/passwd",
    ),
)


@pytest.mark.parametrize("path", OPEN_TO_GUESTS)
async def test_a_page_needs_a_login(site: Site, ann: Guest, path: str) -> None:
    async with Guest(site) as nobody:
        assert (await nobody.ask(path))[0] == 302, "a person is sent to the hub's login"
        assert (await nobody.ask(path, headers=SCRIPT))[0] == 403, "a script is not"
        assert (await nobody.ask(path, "POST", headers={"Origin": site.url}))[0] == 403
    assert (await ann.ask(path))[0] == 200


async def test_what_voila_has_and_guests_do_not(site: Site, ann: Guest) -> None:
    async with ann.shown("slider") as kernel:
        for route in GONE:
            path = route.format(kernel=kernel)
            assert (await ann.ask(path))[0] == 404, path
            assert (await ann.ask(path, "POST", headers={"Origin": site.url}, data=b"x"))[0] == 404, path


@pytest.mark.parametrize("path", TRICKS)
async def test_names_are_never_paths(ann: Guest, path: str) -> None:
    status, text = await ann.ask(path)
    assert status in (301, 302, 403, 404), path  # redirects: the dots lead out of the service, to the hub, which has no such page
    assert "root:" not in text and "not for guests" not in text


async def test_nobody_writes(site: Site, ann: Guest) -> None:
    for path in ("", "open/slider", "picture/slider", "style.css", "voila/static/voila.js"):
        for method in ("PUT", "POST", "DELETE", "PATCH"):
            assert (await ann.ask(path, method, headers={"Origin": site.url}, data=b"x"))[0] in (403, 404, 405), (method, path)


async def test_a_kernel_is_its_owners_alone(site: Site, ann: Guest, bob: Guest) -> None:
    async with ann.shown("slider") as kernel:
        async with Guest(site) as nobody:
            assert await nobody.handshake(kernel) == 403
            assert (await nobody.ask(f"api/kernels/{kernel}", headers=SCRIPT))[0] == 403
        for stranger, stolen in ((bob, kernel), (ann, str(uuid.uuid4()))):
            assert await stranger.handshake(stolen) == 404
            assert (await stranger.ask(f"api/kernels/{stolen}"))[0] == 404
            assert (await stranger.ask(f"voila/api/shutdown/{stolen}", "POST", headers={"Origin": site.url}))[0] == 404
            assert '"held": false' in (await stranger.ask(f"place/{stolen}"))[1]
        assert await ann.handshake(kernel) == 101
        assert (await ann.ask(f"api/kernels/{kernel}"))[0] == 200
        assert (await ann.ask(f"api/kernels/{kernel}", "DELETE", headers={"Origin": site.url}))[0] == 405
        assert (await ann.ask(f"voila/api/shutdown/{kernel}", "POST", headers={"Origin": site.url}))[0] == 204
    assert await ann.handshake(kernel) == 404


async def test_other_sites_are_refused(site: Site, ann: Guest) -> None:
    async with ann.shown("slider") as kernel:
        assert await ann.handshake(kernel, Origin="http://evil.example") == 403
        for path, method, headers in (
            ("style.css", "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
            ("", "GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}),
            (f"voila/api/shutdown/{kernel}", "POST", {"Origin": "http://evil.example"}),
            (f"voila/api/shutdown/{kernel}", "POST", {}),
        ):
            assert (await ann.ask(path, method, headers=headers))[0] == 403, (path, headers)


async def test_another_services_token_and_cookie_are_worth_nothing(site: Site, ann: Guest) -> None:
    other = f"{site.url}/services/other/"
    async with ann.http.get(other, headers=NAVIGATE) as answer:
        token = (await answer.json())["token"]
    cookie = next(cookie.value for cookie in ann.http.cookie_jar if cookie.key == "service-other")
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(site.base, headers={"Authorization": f"token {token}"}) as answer:
            assert answer.status == 403
        async with stranger.get(
            site.base, headers={**NAVIGATE, "Cookie": f"service-dashboards={cookie}"}, allow_redirects=False
        ) as answer:
            assert answer.status == 302


async def test_a_wrong_password_is_no_login(site: Site, ann: Guest) -> None:
    async with Guest(site) as nobody:
        assert await nobody.log_in("ann", PASSWORD + "x") == 403
        assert (await nobody.ask(""))[0] == 302


async def test_pages_may_not_be_framed_and_speak_to_this_site_only(site: Site, ann: Guest) -> None:
    for path, default in (("", "default-src 'none'"), ("open/slider", "default-src 'self'")):
        async with ann.http.get(site.base + path, headers=NAVIGATE) as answer:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert default in policy and "frame-ancestors 'self'" in policy
