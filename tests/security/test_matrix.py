"""Everybody tries everything that is somebody else's: 0 accesses that should not be, and none that should be is missing."""

import json
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests

from tests.security.site import Person, Site, ask
from tests.security.table import ADMIN, GUEST, JOB, NOBODY, OTHER, OTHER_JOB, OWN_GUEST, SELF, TABLE, Row, Who

pytestmark = pytest.mark.hub

# whose things, and who tries: what another pair would show is shown by one of these
PAIRS = [
    *(("ann", comer) for comer in ("ann", "bob", "chief", "guest", "nobody")),
    *(("chief", comer) for comer in ("chief", "ann", "guest", "nobody")),
    *(("guest", comer) for comer in ("guest", "other guest", "ann", "chief", "nobody")),
]
LOGINS = ("/hub/login", "/hub/api/oauth2/authorize")  # an answer that leads to the second has not asked yet who comes
REFUSED = (401, 403, 404, 405)


def roles(owner: str, comer: str) -> Iterator[tuple[str, Who]]:
    """By which credentials somebody comes ("cookie", "token", "job token"), and what that makes of them."""
    if comer == "nobody":
        yield "nothing", NOBODY
    elif "guest" in comer:
        yield "cookie", OWN_GUEST if comer == owner else GUEST
    else:
        who = {owner: SELF, "chief": ADMIN}.get(comer, OTHER) | (ADMIN if comer == "chief" else Who(0))
        yield "cookie", who
        yield "token", who
        yield "job token", JOB if comer == owner else OTHER_JOB


def request(site: Site, row: Row, owner: Person, other: Person, comer: Person | None, by: str) -> requests.Response:
    path = row.path.format(**owner.known, other=other.name)
    body: object = None if row.method == "GET" else {}
    if comer is None:
        return ask(site.hub.url, row.method, path, body=body)
    token = {"token": comer.token, "job token": comer.job_token}.get(by, "")
    return ask(site.hub.url, row.method, path, visitor=None if token else comer.visitor, token=token, body=body)


def at_the_login(answer: requests.Response) -> bool:
    return urlsplit(answer.headers.get("Location", answer.url)).path in LOGINS[: 2 if "Location" in answer.headers else 1]


def refused(answer: requests.Response) -> bool:
    """An error page at the login's address is a refusal by its status."""
    return answer.status_code in REFUSED or at_the_login(answer)


@pytest.mark.parametrize(("owner", "comer"), PAIRS)
def test_nobody_reaches_what_is_not_theirs(people_site: Site, owner: str, comer: str) -> None:
    people = people_site.people
    wrong = []
    mine = people[owner]
    for row in TABLE:
        words = {name for _, name, _, _ in string.Formatter().parse(row.path) if name}
        if not words <= {*mine.known, "other"}:
            continue
        for by, who in roles(owner, comer):
            allowed = bool(row.may & who)
            # an administrator's browser is asked first, before it enters somebody's server
            usual = "token" if who == ADMIN and "{server}" in row.path else "cookie"
            if allowed and (by != usual or not row.opens):
                continue
            answer = request(people_site, row, mine, people["bob"], people.get(comer), by)
            if allowed and (answer.status_code != row.opens or (at_the_login(answer) and not row.may & NOBODY)):
                wrong.append(f"SHUT  {row.method} {row.path} to {comer} by {by}: {answer.status_code} {answer.url}")
            if not allowed and not refused(answer):
                wrong.append(f"OPEN  {row.method} {row.path} to {comer} by {by}: {answer.status_code} {answer.text[:200]!r}")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("of_what", ["hub", "server", "overview", "dashboards"])
def test_every_route_is_in_the_table(people_site: Site, of_what: str) -> None:
    config = [str(Path(sys.modules["emkit_hub"].__file__ or "").parents[1] / "jupyterhub_config.py")] if of_what == "hub" else []
    environment = {**os.environ, **people_site.hub.environment, "EMKIT_DATA": str(people_site.hub.folder.path)}
    command = [sys.executable, "-m", "tests.security.registered", of_what, *config]
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    registered = [(pattern, method) for pattern, method, _ in json.loads(told)]
    known = set()
    for row in TABLE:
        path = row.path.partition("?")[0].replace("{server}", "x").replace("{place}", str(UUID(int=0)))
        path = re.sub(r"\{\w+\}", "0", path)
        matching = [pattern for pattern, _ in registered if re.fullmatch(pattern, path)]
        known |= {(pattern, row.method) for pattern in matching[:1]}
    missing = {(pattern, method) for pattern, method in registered if not pattern.startswith("(?!")} - known
    assert not missing, f"Not in tests/security/table.py: {sorted(missing)}"
