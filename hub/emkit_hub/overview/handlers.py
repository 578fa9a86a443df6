"""The pages, the forms and the JSON."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import jinja2
from pydantic import ValidationError
from tornado import web

from emkit_hub.overview.announcements import AnnouncementError, Announcements, Posting
from emkit_hub.overview.runs import PostedRuns
from emkit_hub.overview.settings import Service
from emkit_hub.overview.storage import Storage
from emkit_hub.overview.view import View
from emkit_hub.overview.visit import Visit
from emkit_hub.overview.watch import PATIENCE_S, Watch
from emkit_hub.overview.wording import first_words

SERVER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
PAGES = Path(__file__).parent / "pages"
NOTHING_TYPED = {"text": "", "level": "info", "hours": ""}
ASSETS = {
    "emkit.css": Path(__file__).parents[1] / "templates" / "emkit.css",
    "overview.css": PAGES / "overview.css",
    "overview.js": PAGES / "overview.js",
}


class Page(Visit):
    """What pages share."""

    @property
    def service(self) -> Service:
        """The settings of the service."""
        service: Service = self.settings["service"]
        return service

    @property
    def announcements(self) -> Announcements:
        """The announcements of the site."""
        found: Announcements = self.settings["announcements"]
        return found

    @property
    def runs(self) -> PostedRuns:
        """What users' servers posted."""
        found: PostedRuns = self.settings["runs"]
        return found

    async def view(self) -> View:
        """What this visitor sees now."""
        watch: Watch = self.settings["watch"]
        storage: Storage = self.settings["storage"]
        return View(
            visitor=self.visitor,
            answer=await watch.now(self.visitor.name),
            now=time.time(),
            announcements=self.announcements.current(),
            storage=await storage.now(),
            full_percent=self.service.site.full_percent,
            named_servers=self.service.named_servers and self.visitor.may_have_server,
            runs=self.runs.of(self.visitor.name) if self.visitor.may_have_server else None,
        )

    def show(self, template: str, **values: Any) -> None:
        """Answer with one of the templates of this service."""
        pages: jinja2.Environment = self.settings["pages"]
        text = pages.get_template(template).render(
            base=self.settings["base_url"],
            hub=self.settings["hub_url"],
            root=self.settings["root_url"],
            service=self.service,
            visitor=getattr(self, "visitor", None),
            **values,
        )
        self.finish(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """In words, as a page or (below api/) as `{"status": …, "message": …}`."""
        if self.request.path.startswith(f"{self.settings['base_url']}api/"):
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps({"status": status_code, "message": self._reason}))
        else:
            self.show("error.html", status=status_code, text=self._reason)

    def refuse(self, status: int, message: str) -> None:
        """An API's answer in words of more than one line, which no status line may hold."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"status": status, "message": message}))

    def tell(self, found: str, status: int = 200) -> None:
        """Answer with this JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(found)


class Overview(Page):
    """The page."""

    leads_to_login = True

    async def get(self) -> None:
        """All of it."""
        self.show("overview.html", view=await self.view(), xsrf=self.xsrf_token.decode(), refused="", typed=NOTHING_TYPED)


class Live(Page):
    """The part of the page that changes, for its script."""

    async def get(self) -> None:
        """The sections."""
        self.show("live.html", view=await self.view(), xsrf=self.xsrf_token.decode())


class Stop(Page):
    """The button beside a session."""

    async def post(self) -> None:
        """Ask the hub to stop it, with the visitor's own token: this service has no right to."""
        watch: Watch = self.settings["watch"]
        server = self.get_body_argument("server", "")
        path = f"users/{quote(self.visitor.name, safe='')}/" + (f"servers/{quote(server, safe='')}" if server else "server")
        headers = {"Authorization": f"token {self.hub_auth.get_token(self)}"}
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.delete(f"{self.settings['hub_api']}/{path}", ssl=self.settings["certificates"] or True) as answer,
            ):
                if answer.status not in (202, 204, 404):  # 404: it has ended meanwhile
                    raise web.HTTPError(answer.status, reason="The hub does not stop this server")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise web.HTTPError(503, reason="The hub does not answer") from error
        watch.forget()
        self.redirect(self.settings["base_url"], status=303)


class Start(Page):
    """The field for one more server."""

    leads_to_login = True

    def get(self) -> None:
        """To the hub's form for the server of this name."""
        server = self.get_query_argument("server", "")
        if not SERVER_NAME.fullmatch(server):
            raise web.HTTPError(400, reason="A server's name has up to 64 letters, digits and _ . -")
        self.redirect(f"{self.settings['hub_url']}spawn/{quote(self.visitor.name, safe='')}/{server}")


class Announce(Page):
    """The form of admins."""

    async def post(self) -> None:
        """Post what was typed; what is refused stays in the form, with the reason."""
        self.require_admin()
        typed = {name: self.get_body_argument(name, "") for name in NOTHING_TYPED}
        try:
            hours = float(typed["hours"]) if typed["hours"] else None
            until = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
            self.announcements.post(Posting.model_validate({"text": typed["text"], "level": typed["level"], "until": until}))
        except (ValueError, OverflowError) as error:  # pydantic's and ours are ValueErrors too
            self.set_status(400)
            self.show(
                "overview.html", view=await self.view(), xsrf=self.xsrf_token.decode(), refused=first_words(error), typed=typed
            )
            return
        self.redirect(self.settings["base_url"], status=303)


class Withdraw(Page):
    """The button of admins beside an announcement."""

    async def post(self) -> None:
        """Withdraw it."""
        self.require_admin()
        try:
            self.announcements.withdraw(self.get_body_argument("id", ""))
        except AnnouncementError as error:
            raise web.HTTPError(409, reason="The announcements cannot be changed: the log of the hub says why") from error
        self.redirect(self.settings["base_url"], status=303)


class AnnouncementList(Page):
    """`api/announcements`."""

    def get(self) -> None:
        """All that hold now, for everybody with a login or a token."""
        self.tell(json.dumps([one.model_dump() for one in self.announcements.current()]))

    def post(self) -> None:
        """Post one."""
        self.require_admin()
        try:
            new = self.announcements.post(Posting.model_validate_json(self.request.body))
        except ValidationError as error:
            self.refuse(400, first_words(error))
        except AnnouncementError as error:
            self.refuse(409, str(error))
        else:
            self.tell(new.model_dump_json(), 201)


class OneAnnouncement(Page):
    """`api/announcements/ID`."""

    def delete(self, announcement_id: str) -> None:
        """Withdraw it; 404 when there is none."""
        self.require_admin()
        try:
            if not self.announcements.withdraw(announcement_id):
                raise web.HTTPError(404)
        except AnnouncementError as error:
            self.refuse(409, str(error))
            return
        self.set_status(204)


class Runs(Page):
    """`api/runs`: the visitor's own, always."""

    def get(self) -> None:
        """What was posted last, or null."""
        kept = self.runs.of(self.visitor.name)
        self.tell("null" if kept is None else kept.model_dump_json())


class Asset(Page):
    """Style sheets and script, which the page of a refused login needs too."""

    async def prepare(self) -> None:
        """For everybody: they hold nothing of anybody."""

    def get(self, name: str) -> None:
        """One of the files that the route names."""
        self.set_header("Content-Type", "text/javascript" if name.endswith(".js") else "text/css")
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(ASSETS[name].read_bytes())


class NotFound(Page):
    """Everything else."""

    async def prepare(self) -> None:
        """404 to visitors."""
        await super().prepare()
        if not self._finished:
            raise web.HTTPError(404, reason="There is nothing here")
