"""What a user is offered before a start, and may ask for: profiles, the form, options within limits."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from batchspawner import BatchSpawnerBase
from emkit_jobs.profiles import Profile, Request, RequestError, Resources, offered
from emkit_jobs.scheduler import Scheduler, SchedulerError
from jupyterhub.utils import url_path_join
from traitlets import Dict, default, validate

from emkit_spawner import metrics, requested
from emkit_spawner.form import Known, first_choice, look, nothing_open, options, page
from emkit_spawner.options import granted
from emkit_spawner.record import Record
from emkit_spawner.refusal import StartRefused


class OfferSpawner(BatchSpawnerBase):
    """The part of a spawner that turns a site's profiles into a form, and what comes back from it into resources."""

    profiles = Dict(
        help="""Profiles that users choose from: name → emkit_jobs.profiles.Profile or its fields.
        The first is the default. What a profile leaves open is filled from the req_* traits; without profiles there is no form.""",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self.record = Record()
        self.resources = Resources()
        super().__init__(**kwargs)

    def scheduler(self) -> Scheduler:
        raise NotImplementedError("A subclass says which scheduler its jobs go to.")

    @validate("profiles")
    def _read_profiles(self, proposal: Any) -> dict[str, Profile]:
        return {name: Profile.model_validate(profile) for name, profile in proposal["value"].items()}

    @property
    def open_profiles(self) -> dict[str, Profile]:
        """Those that the user's groups may use."""
        return offered(self.profiles, self._groups())

    def _groups(self) -> set[str]:
        return {group.name for group in self.user.groups}

    @default("options_form")
    def _form(self) -> "str | Callable[[OfferSpawner], Awaitable[str]]":
        return OfferSpawner.form if self.profiles else ""

    async def form(self) -> str:
        """The form's page; a scheduler that does not answer leaves out what it knows."""
        profiles = self.open_profiles
        if not profiles:
            return nothing_open()
        chosen = first_choice(profiles, self.record.good_options)
        try:
            known = await self.known(chosen)
        except SchedulerError as error:
            self.log.warning("The form of %s shows nothing of the scheduler: %s", self.user.name, error)
            known = Known()
        url = url_path_join(self.hub.base_url, "api/emkit/outlook") + "?" + urlencode({"user": self.user.name})
        return page(profiles, chosen, known, url)

    async def known(self, request: Request) -> Known:
        """What is known for a form with these numbers. RequestError when they are not granted."""
        return await look(self.open_profiles, request, self.scheduler(), self.resources_for, self.record.past)

    @default("options_from_form")
    def _form_reader(self) -> Callable[[Mapping[str, list[str]]], dict[str, object]]:
        return options

    @default("apply_user_options")
    def _apply(self) -> "Callable[[OfferSpawner, dict[str, Any]], None]":
        return OfferSpawner.apply_options

    def apply_options(self, asked: Mapping[str, object]) -> None:
        """Turn the user's options into resources; StartRefused says which one is refused."""
        try:
            self.resources = self.resources_for(Request.read(asked))
        except RequestError as error:
            self.forget_options()
            metrics.SPAWNS.labels("options").observe(0.0)
            raise StartRefused(str(error), reason="options") from error

    def resources_for(self, request: Request) -> Resources:
        """What the user gets for a request. RequestError says what is refused."""
        floor = requested.resources(
            nprocs=self.req_nprocs,
            memory=self.req_memory,
            ngpus=self.req_ngpus,
            time=self.req_runtime,
            partition=self.req_partition,
            account=self.req_account,
        )
        return granted(self.profiles, self._groups(), request, floor)

    def forget_options(self) -> None:
        """JupyterHub keeps the options of a failed start and repeats them at the next one without options."""
        self.orm_spawner.user_options = self.record.good_options
        self.db.commit()

    def keep_options(self) -> None:
        """A start has worked: the next one without options repeats these, but for a rescue, which is for once."""
        self.record.good_options = {name: value for name, value in self.user_options.items() if name != "rescue"}
        self.orm_spawner.user_options = self.record.good_options
        self.db.commit()
