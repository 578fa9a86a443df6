"""What users' own servers ask of the hub itself: announcements, and a place for what they tell about runs.

These are routes of the hub's API, not of the service, because a node reaches no other address of the hub's host.
"""

import json

from jupyterhub import apihandlers
from jupyterhub.apihandlers import APIHandler
from pydantic import ValidationError
from tornado import web

from emkit_hub.overview.announcements import Announcements
from emkit_hub.overview.runs import BODY_BYTES, Posted, PostedRuns
from emkit_hub.overview.wording import first_words


class AnnouncementsHandler(APIHandler):
    """GET api/emkit/announcements with any token or login."""

    def initialize(self, announcements: Announcements) -> None:
        """Tornado hands the route's own values over here."""
        self.announcements = announcements

    def get(self) -> None:
        """All that hold now, as the service's api/announcements tells them."""
        if self.current_user is None:
            raise web.HTTPError(403)
        self.write(json.dumps([one.model_dump() for one in self.announcements.current()]))


class RunsHandler(APIHandler):
    """POST api/emkit/runs with a token of the user's own that may enter the user's servers; each server holds one."""

    def initialize(self, runs: PostedRuns) -> None:
        """Tornado hands the route's own values over here."""
        self.runs = runs

    def post(self) -> None:
        """Replace what was posted before: 204. 400 names the first wrong field, 413 is for a body over BODY_BYTES."""
        token = self.get_token()
        if token is None or token.user is None or "access:servers" not in self.parsed_scopes:
            raise web.HTTPError(403, "Only a user's server may tell of the user's runs, with its own token.")
        if len(self.request.body) > BODY_BYTES:
            raise web.HTTPError(413, f"Found {len(self.request.body)} bytes of runs; at most {BODY_BYTES} are kept: send fewer.")
        try:
            posted = Posted.model_validate_json(self.request.body)
        except ValidationError as error:
            raise web.HTTPError(400, f"These are no runs: {first_words(error)}") from error
        self.runs.keep(token.user.name, posted)
        self.set_status(204)


def install(announcements: Announcements, runs: PostedRuns) -> None:
    """Put them among the hub's handlers. JupyterHub collects these after it has read its configuration."""
    ours = [
        (r"/api/emkit/announcements", AnnouncementsHandler, {"announcements": announcements}),
        (r"/api/emkit/runs", RunsHandler, {"runs": runs}),
    ]
    kept = [handler for handler in apihandlers.default_handlers if handler[0] not in {route for route, *_ in ours}]
    apihandlers.default_handlers[:] = [*kept, *ours]
