"""Who may do what: a line for each route. A route of hub, server or overview without a line here fails a test by its name.

In a path, {owner} is the person it is about, {server} the same where they have a server, and {other} somebody else; the rest is
what that person has (`site.Person.known`). Rows with a word that the owner does not have are left out for that owner.
"""

from enum import Flag, auto
from typing import NamedTuple


class Who(Flag):
    """In what role somebody comes to what is {owner}'s."""

    SELF = auto()  # a member, by browser or with a token of one's own making
    JOB = auto()  # code in the owner's server, with the server's token
    OTHER = auto()  # another member
    OTHER_JOB = auto()  # code in another's server
    ADMIN = auto()
    OWN_GUEST = auto()  # a workshop's guest about oneself
    GUEST = auto()
    NOBODY = auto()  # not logged in


SELF, JOB, OTHER, OTHER_JOB, ADMIN, OWN_GUEST, GUEST, NOBODY = Who
NONE = Who(0)
MEMBERS = SELF | OTHER | ADMIN
GUESTS = OWN_GUEST | GUEST
LOGGED_IN = MEMBERS | GUESTS
JOBS = JOB | OTHER_JOB
TOKENS = LOGGED_IN | JOBS
PUBLIC = TOKENS | NOBODY
OWN = SELF | ADMIN  # an administrator may go everywhere, and is asked whether to


class Row(NamedTuple):
    """`opens`: what a GET must answer to those who may, by browser; 0: it is not tried, since it changes something."""

    method: str
    path: str
    may: Who
    opens: int = 200


def rows(methods: str, path: str, may: Who) -> list[Row]:
    """Several methods of one path that need the same and are only tried by those who may not."""
    return [Row(method, path, may, 0) for method in methods.split()]


PAGES = [
    Row("GET", "/hub/login", PUBLIC),
    *rows("POST", "/hub/login", PUBLIC),
    *rows("GET", "/hub/logout", PUBLIC),
    Row("GET", "/hub", PUBLIC),
    Row("GET", "/hub/", PUBLIC),
    Row("GET", "/hub/health", PUBLIC),
    Row("GET", "/hub/api/health", PUBLIC),
    Row("GET", "/hub/logo", PUBLIC),
    Row("GET", "/hub/error/404", PUBLIC),
    *rows("POST", "/hub/security/csp-report", PUBLIC),
    Row("GET", "/hub/home", LOGGED_IN),
    Row("GET", "/hub/token", LOGGED_IN),
    Row("GET", "/hub/admin", ADMIN),
    Row("GET", "/hub/metrics", ADMIN),
    Row("GET", "/hub/api/metrics", ADMIN),
    Row("GET", "/hub/spawn", MEMBERS),
    *rows("POST", "/hub/spawn", MEMBERS),
    Row("GET", "/hub/spawn/{owner}", OWN),
    *rows("POST", "/hub/spawn/{owner}", OWN),
    Row("GET", "/hub/spawn/{owner}/second", OWN, 0),
    *rows("POST", "/hub/spawn/{owner}/second", OWN),
    Row("GET", "/hub/spawn-pending/{owner}", OWN),
    Row("GET", "/hub/spawn-pending/{owner}/second", OWN, 0),
    Row("GET", "/hub/user/{server}/lab", OWN | JOB),
    *rows("POST PATCH DELETE", "/hub/user/{server}/api/contents/secret.txt", PUBLIC),  # a fixed answer: 424, nothing is done
    Row("GET", "/hub/user-redirect/lab", LOGGED_IN, 0),
    Row("GET", "/hub/accept-share?code=none", LOGGED_IN, 0),
    *rows("POST", "/hub/accept-share?code=none", LOGGED_IN),
    Row("GET", "/user/{server}", OWN | JOB),
]
API = [
    Row("GET", "/hub/api/", PUBLIC),
    Row("GET", "/hub/api/info", ADMIN),
    Row("GET", "/hub/api/user", TOKENS),
    Row("GET", "/hub/api/proxy", ADMIN),
    *rows("POST PATCH", "/hub/api/proxy", ADMIN),
    *rows("POST", "/hub/api/shutdown", ADMIN),
    Row("GET", "/hub/api/users", ADMIN),
    *rows("POST", "/hub/api/users", ADMIN),
    Row("GET", "/hub/api/users/{owner}", OWN | JOB | OWN_GUEST),
    *rows("POST", "/hub/api/users/{owner}", ADMIN),
    *rows("PATCH DELETE", "/hub/api/users/{owner}", ADMIN),
    *rows("POST DELETE", "/hub/api/users/{owner}/server", OWN),
    *rows("GET PUT PATCH", "/hub/api/users/{owner}/server", OWN),
    *rows("POST DELETE", "/hub/api/users/{owner}/servers/second", OWN),
    *rows("GET PUT PATCH", "/hub/api/users/{owner}/servers/second", OWN),
    Row("GET", "/hub/api/users/{server}/server/progress", OWN),
    Row("GET", "/hub/api/users/{owner}/servers/second/progress", OWN, 0),
    Row("GET", "/hub/api/users/{owner}/tokens", OWN),
    *rows("POST", "/hub/api/users/{owner}/tokens", OWN),
    Row("GET", "/hub/api/users/{owner}/tokens/{token_id}", OWN),
    *rows("DELETE", "/hub/api/users/{owner}/tokens/{token_id}", OWN),
    *rows("POST", "/hub/api/users/{owner}/activity", OWN | JOB),
    *rows("POST", "/hub/api/users/{owner}/admin-access", NONE),
    Row("GET", "/hub/api/authorizations/token/0123456789abcdef", NONE),
    *rows("POST", "/hub/api/authorizations/token", NONE),
    # JupyterHub's own mistakes, 500 for everybody: these two are given a word more or less than they take
    *rows("GET", "/hub/api/authorizations/token", PUBLIC),
    *rows("POST", "/hub/api/authorizations/token/x", PUBLIC),
    Row("GET", "/hub/api/authorizations/cookie/name/value", NONE),
    # without the server's own challenge: 400 for everybody. With it: the rows of servers, below
    *rows("GET", "/hub/api/oauth2/authorize?client_id=jupyterhub-user-{owner}&response_type=code", LOGGED_IN),
    # gives a code that names its bearer, and the server it is for then refuses them: test_hostile.py takes it there
    *rows("POST", "/hub/api/oauth2/authorize?client_id=jupyterhub-user-{owner}&response_type=code", LOGGED_IN),
    *rows("POST", "/hub/api/oauth2/token", PUBLIC),  # asks for a client's own secret
    Row("GET", "/hub/api/groups", ADMIN),
    *rows("POST", "/hub/api/groups", ADMIN),
    Row("GET", "/hub/api/groups/emkit:members", ADMIN),
    *rows("POST DELETE", "/hub/api/groups/emkit:members", ADMIN),
    *rows("POST DELETE", "/hub/api/groups/emkit:members/users", ADMIN),
    *rows("PUT", "/hub/api/groups/emkit:members/properties", ADMIN),
    Row("GET", "/hub/api/groups/emkit:members/shared", ADMIN, 0),
    Row("GET", "/hub/api/groups/emkit:members/shared/{owner}/", ADMIN, 0),
    *rows("DELETE", "/hub/api/groups/emkit:members/shared/{owner}/", ADMIN),
    Row("GET", "/hub/api/services", ADMIN),
    Row("GET", "/hub/api/services/dashboards", ADMIN),
    *rows("POST DELETE", "/hub/api/services/dashboards", ADMIN),
    Row("GET", "/hub/api/shares/{owner}", OWN, 0),
    *rows("POST PATCH DELETE", "/hub/api/shares/{owner}", ADMIN),
    Row("GET", "/hub/api/shares/{owner}/", OWN, 0),
    *rows("POST PATCH DELETE", "/hub/api/shares/{owner}/", ADMIN),
    Row("GET", "/hub/api/share-codes/{owner}", OWN, 0),
    *rows("POST DELETE", "/hub/api/share-codes/{owner}", ADMIN),
    Row("GET", "/hub/api/share-codes/{owner}/", OWN, 0),
    *rows("POST DELETE", "/hub/api/share-codes/{owner}/", ADMIN),
    Row("GET", "/hub/api/users/{owner}/shared", OWN, 0),
    Row("GET", "/hub/api/users/{owner}/shared/{other}/", OWN, 0),
    *rows("DELETE", "/hub/api/users/{owner}/shared/{other}/", OWN),
]
OURS = [
    *rows("POST", "/hub/api/batchspawner", NONE),  # batchspawner's own would set any attribute of the spawner
    *rows("POST", "/hub/api/emkit/job", JOBS),  # each about itself
    *rows("POST", "/hub/api/emkit/resubmit", JOBS),
    *rows("POST", "/hub/api/emkit/runs", JOBS | MEMBERS),
    Row("GET", "/hub/api/emkit/announcements", TOKENS),
    Row("GET", "/hub/api/emkit/sessions/{server}/", OWN | JOB),
    Row("GET", "/hub/api/emkit/system", ADMIN),
    Row("GET", "/hub/api/emkit/outlook?profile=small", MEMBERS, 0),
    Row("GET", "/hub/api/emkit/outlook?user={server}&profile=small", OWN, 0),
]
SERVERS = [  # behind the proxy, each asking the hub who comes
    Row("GET", "/user/{server}/lab", OWN | JOB),
    Row("GET", "/user/{server}/api/status", OWN | JOB),
    Row("GET", "/user/{server}/api/me", OWN | JOB),
    Row("GET", "/user/{server}/api/contents", OWN | JOB),
    Row("GET", "/user/{server}/api/contents/secret.txt", OWN | JOB),
    Row("GET", "/user/{server}/files/secret.txt", OWN | JOB),
    *rows("PUT PATCH DELETE", "/user/{server}/api/contents/secret.txt", OWN | JOB),
    *rows("POST", "/user/{server}/api/contents", OWN | JOB),
    Row("GET", "/user/{server}/api/kernels", OWN | JOB),
    Row("GET", "/user/{server}/api/kernels/{kernel}", OWN | JOB),
    *rows("POST", "/user/{server}/api/kernels", OWN | JOB),
    *rows("DELETE", "/user/{server}/api/kernels/{kernel}", OWN | JOB),
    *rows("POST", "/user/{server}/api/kernels/{kernel}/interrupt", OWN | JOB),
    *rows("GET", "/user/{server}/api/kernels/{kernel}/channels", OWN | JOB),
    Row("GET", "/user/{server}/api/sessions", OWN | JOB),
    Row("GET", "/user/{server}/api/terminals", OWN | JOB),
    *rows("POST", "/user/{server}/api/terminals", OWN | JOB),
    *rows("GET", "/user/{server}/terminals/websocket/{terminal}", OWN | JOB),
    Row("GET", "/user/{server}/api/kernelspecs", OWN | JOB),
    Row("GET", "/user/{server}/lab/api/settings", OWN | JOB),
    Row("GET", "/user/{server}/emkit/session", OWN | JOB),
    *rows("POST", "/user/{server}/emkit/session/resubmit", OWN | JOB),
    Row("GET", "/user/{server}/emkit/kernels", OWN | JOB),
    *rows("DELETE", "/user/{server}/emkit/kernels/{kernel}", OWN | JOB),
    Row("GET", "/user/{server}/api/emkit/activity", OWN | JOB),
    Row("GET", "/user/{server}/emkit/v/name/", OWN | JOB),
    Row("GET", "/user/{server}/emkit/v/name/quiet.js", OWN | JOB),
    Row("GET", "/user/{server}/emkit/v/name/correct.js", OWN | JOB),
    *rows("GET", "/user/{server}/emkit/v/name/main.js", OWN | JOB),
    Row("GET", "/user/{server}/emkit/data/{capability}/secret.txt", OWN | JOB),
    *rows("GET", "/user/{server}/emkit/sections/{capability}/zarr.json", OWN | JOB),
    *rows("GET", "/user/{server}/emkit/predict/{capability}/zarr.json", OWN | JOB),
    *rows("GET", "/user/{server}/emkit/correct/{capability}/0/zarr.json", OWN | JOB),
    *rows("GET POST", "/user/{server}/emkit/correct/{capability}/edits", OWN | JOB),
    *rows("POST", "/user/{server}/api/shutdown", OWN | JOB),
]
SERVICES = [
    Row("GET", "/services/dashboards/", LOGGED_IN),
    *rows("GET", "/services/dashboards/open/notes", LOGGED_IN),
    Row("GET", "/services/dashboards/api/kernels/{place}", OWN_GUEST),
    *rows("GET", "/services/dashboards/api/kernels/{place}/channels", OWN_GUEST),
    *rows("POST", "/services/dashboards/place/{place}", OWN_GUEST),
    *rows("POST", "/services/dashboards/voila/api/shutdown/{place}", OWN_GUEST),
    *rows("GET", "/services/dashboards/place/{place}", LOGGED_IN),  # says "not held" to others, as of a place that never was
    *rows("GET", "/services/dashboards/voila/api/shutdown/{place}", LOGGED_IN),
    *rows("DELETE", "/services/dashboards/api/kernels/{place}", NONE),
    Row("GET", "/services/dashboards/picture/notes", LOGGED_IN, 0),
    Row("GET", "/services/dashboards/style.css", LOGGED_IN),
    *rows("GET", "/services/dashboards/voila/templates/lab/static/none.css", LOGGED_IN),
    *rows("GET", "/services/dashboards/voila/static/none.js", LOGGED_IN),
    *rows("GET", "/services/dashboards/voila/api/themes/none.css", LOGGED_IN),
    *rows("GET", "/services/dashboards/voila/labextensions/none.js", LOGGED_IN),
    *rows("GET", "/services/dashboards/oauth_callback", PUBLIC),  # as the overview's, below
    Row("GET", "/services/dashboards/emkit/v/name/", LOGGED_IN, 0),
    Row("GET", "/services/dashboards/emkit/v/name/quiet.js", LOGGED_IN, 0),
    *rows("GET", "/services/dashboards/emkit/v/name/main.js", LOGGED_IN),
    *rows(
        "GET", "/services/dashboards/emkit/data/none/zarr.json", LOGGED_IN
    ),  # and then a capability, which only the page's own kernel makes
    *rows("GET", "/services/dashboards/emkit/sections/none/zarr.json", LOGGED_IN),
    *rows("GET", "/services/dashboards/emkit/predict/none/zarr.json", LOGGED_IN),
    *rows("POST", "/services/dashboards/emkit/correct/none/edits", NONE),
    Row("GET", "/services/dashboards/api/contents", NONE),
    Row("GET", "/services/dashboards/files/notes.ipynb", NONE),
    Row("GET", "/services/overview/", LOGGED_IN),
    Row("GET", "/services/overview/live", LOGGED_IN, 0),
    Row("GET", "/services/overview/api/runs", LOGGED_IN, 0),  # the visitor's own, whoever comes
    *rows("GET", "/services/overview/start?server=second", LOGGED_IN),
    *rows("POST", "/services/overview/stop", LOGGED_IN),  # the visitor's own, by the visitor's token
    Row("GET", "/services/overview/overview.css", PUBLIC),
    *rows("GET", "/services/overview/oauth_callback", PUBLIC),  # worth nothing without the hub's code and the browser's cookie
    Row("GET", "/services/overview/api/announcements", LOGGED_IN, 0),
    *rows("POST", "/services/overview/announce", ADMIN),
    *rows("POST", "/services/overview/withdraw", ADMIN),
    *rows("POST", "/services/overview/api/announcements", ADMIN),
    *rows("DELETE", "/services/overview/api/announcements/none", ADMIN),
]
TABLE = [*PAGES, *API, *OURS, *SERVERS, *SERVICES]
