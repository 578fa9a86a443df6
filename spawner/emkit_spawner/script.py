"""What the job of a start is: its script, its environment, and the server's command in it."""

import shlex
import sys
from pathlib import Path
from typing import Any

from emkit_jobs.scheduler import Job
from emkit_jobs.script import SESSION, Verbatim, render
from traitlets import Unicode, default

from emkit_spawner import certificates, naming, requested, rescue
from emkit_spawner.offer import OfferSpawner

NOT_USED = ("exec_prefix", "batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")


class ScriptSpawner(OfferSpawner):
    """The part of a spawner that writes down what a start submits; a subclass may add lines for its scheduler."""

    home_folder = Unicode(help="Where servers start and their HOME; may hold {username}. Empty: the account's own.").tag(
        config=True
    )

    batch_script = Unicode(
        SESSION,
        help="""The job script: a Jinja template. {{command}} (or {{cmd}}) is the server's command line; {{prologue}},
        {{epilogue}}, {{options}} and {{directives}} are the site's text; every other req_NAME trait is {{NAME}}. Values are quoted
        for the shell, each as one word.""",
    ).tag(config=True)

    batchspawner_singleuser_cmd = Unicode(
        shlex.join([sys.executable, "-m", "emkit_spawner.singleuser"]),
        help="The command before the server's own: it picks the port and reports it to the hub.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.home_trouble = ""  # why this start does without the user's home
        for name in NOT_USED:
            if name in self._trait_values and getattr(self, name) != type(self).class_traits()[name].default_value:
                self.log.warning("%s.%s is set, but this spawner runs no such command.", type(self).__name__, name)

    def directives(self) -> str:
        """Lines at the top of the job script, for the scheduler: the site's own text."""
        return ""

    @default("req_homedir")
    def _home(self) -> str:
        return self.format_string(self.home_folder) if self.home_folder else str(Path.home())

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = certificates.packed(super().get_env())
        own = {"USER": self.user.name, "HOME": self.req_homedir}
        if self.home_trouble or self.user_options.get("rescue"):
            own[rescue.REASON] = self.home_trouble or "You asked for a start without your own settings."
        return {"SHELL": "/bin/bash", **env, **self.resources.environment, **own}

    def server_command(self) -> list[str]:
        return [*shlex.split(requested.wrapper(self.batchspawner_singleuser_cmd)), *self.cmd, *self.get_args()]

    def job(self) -> Job:
        """The job of this start. StartRefused for a user whose name cannot stand in it."""
        name = naming.job_name(self._secret(), self.user.name, self.name)
        values = self.get_req_subvars()
        values |= {name: Verbatim(values[name]) for name in ("prologue", "epilogue", "options")}
        values |= {"directives": Verbatim(self.directives()), "srun": "", "command": self.server_command()}
        values["cmd"] = values["command"]  # batchspawner's name for it
        return Job(
            name=name,
            script=render(requested.template(self.batch_script), **values),
            folder=Path(self.req_homedir),
            environment=self.get_env(),
            resources=self.resources,
        )

    def _secret(self) -> bytes:
        return bytes(self.user.settings["cookie_secret"])
