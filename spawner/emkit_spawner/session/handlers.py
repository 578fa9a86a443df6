"""The two routes of the page, behind the server's own login; the second behind its XSRF check too."""

import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

from emkit_spawner.session.hub import HubError
from emkit_spawner.session.watch import SessionWatch


class _Handler(APIHandler):
    _track_activity = False  # a page that only shows the time must not keep an idle server from being culled

    def initialize(self, watch: SessionWatch, **kwargs: Any) -> None:
        super().initialize(**kwargs)
        self.watch = watch


class SessionHandler(_Handler):
    @web.authenticated
    async def get(self) -> None:
        self.finish(json.dumps(await self.watch.state()))


class ResubmitHandler(_Handler):
    @web.authenticated
    async def post(self) -> None:
        try:
            await self.watch.hub.resubmit()
        except HubError as error:
            self.set_status(error.status)
            self.finish(json.dumps({"message": str(error)}))
            return
        self.finish(json.dumps({"pending": self.watch.hub.pending_page}))
