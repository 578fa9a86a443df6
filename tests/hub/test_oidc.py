"""Logins by an identity provider: a real OpenID Connect provider that runs here, GenericOAuthenticator by settings alone."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from emkit_hub.data_folder import free_ports
from emkit_hub.visitor import NAVIGATION

from tests.hub.site import Site, running

pytestmark = pytest.mark.hub

SETTINGS = """
one_account = false
[dashboards]
pool = 0
[login]
method = "oauth"
authenticator = "generic-oauth"
admins = ["chief"]
users = ["ann"]
client_secret_file = "{secret}"
[login.options]
client_id = "emkit"
authorize_url = "{provider}/oauth2/authorize"
token_url = "{provider}/oauth2/token"
userdata_url = "{provider}/userinfo"
username_claim = "sub"
login_service = "Institute"
scope = ["openid"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("oidc"), free_ports(1)[0]
    provider = f"http://127.0.0.1:{port}"
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_text("a-secret-of-the-client\n")
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    with (folder / "provider.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        _until_up(process, provider)
        made = Site(folder, SETTINGS.format(provider=provider, secret=folder / "secret"))
        made.settings += f'oauth_callback_url = "{made.url}/hub/oauth_callback"\n'
        with running(made):
            yield made
        process.terminate()


def _until_up(process: subprocess.Popen[bytes], url: str) -> None:
    while process.poll() is None:
        try:
            if requests.get(f"{url}/.well-known/openid-configuration", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError("the provider has ended")


def login(site: Site, name: str) -> tuple[requests.Session, requests.Response]:
    """Log in at the provider, as a browser would be led there: the session, and the page at the end."""
    session = requests.Session()
    session.headers.update({**NAVIGATION, "Connection": "close"})
    page = session.get(f"{site.url}/hub/oauth_login?next=%2Fhub%2Fhome", timeout=60)
    assert "/oauth2/authorize" in page.url, page.url
    form = re.search(r'<form[^>]*?(?:action="([^"]*)")?[^>]*>', page.text)
    assert form is not None, page.text
    return session, session.post(urljoin(page.url, unescape(form[1] or "")), data={"sub": name}, timeout=60)


def test_the_login_page_leads_to_the_provider_and_asks_for_no_password(site: Site) -> None:
    text = requests.get(f"{site.url}/hub/login", headers=NAVIGATION, timeout=60).text
    assert "Log in with Institute" in text and "/hub/oauth_login" in text and 'type="password"' not in text


def test_who_is_named_enters_as_themselves_and_may_have_a_server(site: Site) -> None:
    session, page = login(site, "ann")
    with session:
        assert page.url == f"{site.url}/hub/home", page.text
        me = session.get(f"{site.url}/hub/api/user", timeout=60)
        found = me.json()
        assert (found["name"], found["admin"]) == ("ann", False) and "servers!user=ann" in found["scopes"]
        assert session.get(f"{site.url}/hub/admin", timeout=60).status_code == 403


def test_an_admin_is_one_by_name_alone(site: Site) -> None:
    session, _ = login(site, "chief")
    with session:
        assert session.get(f"{site.url}/hub/admin", timeout=60).status_code == 200


@pytest.mark.parametrize("name", ["mallory", "root", "owner"])
def test_who_is_not_named_stays_outside(site: Site, name: str) -> None:
    session, page = login(site, name)
    with session:
        assert page.status_code == 403
        assert session.get(f"{site.url}/hub/api/user", timeout=60).status_code == 403


def test_an_answer_that_the_provider_did_not_give_is_refused(site: Site) -> None:
    with requests.Session() as session:
        session.headers.update(NAVIGATION)
        for query in ("code=forged&state=forged", "code=forged", "error=access_denied"):
            assert session.get(f"{site.url}/hub/oauth_callback?{query}", timeout=60).status_code in (400, 403), query


def test_the_clients_secret_is_in_its_file_alone(site: Site) -> None:
    seen = [file for file in Path(site.folder).rglob("*") if file.is_file() and b"a-secret-of-the-client" in file.read_bytes()]
    assert seen == [site.folder / "secret"]
