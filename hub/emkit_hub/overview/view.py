"""What one visitor sees. The only place where everybody's data become one person's."""

from dataclasses import dataclass

from emkit_hub.overview.announcements import Announcement
from emkit_hub.overview.runs import Kept
from emkit_hub.overview.storage import FileSystem
from emkit_hub.overview.told import Counts, Job, Past, Session, System
from emkit_hub.overview.watch import Answer

PAST_SESSIONS = 5


@dataclass(frozen=True)
class Visitor:
    """Who looks, and with which rights: the scopes of the token of this visit."""

    name: str
    scopes: frozenset[str]

    @property
    def admin(self) -> bool:
        """Sees everybody, and may announce."""
        return "admin-ui" in self.scopes

    @property
    def may_have_server(self) -> bool:
        """A workshop's guest may not, and is shown nothing of servers."""
        return bool(self.scopes & {"delete:servers", f"delete:servers!user={self.name}"})


@dataclass(frozen=True)
class View:
    """One page. `everybody`, `failed` and `counts` are empty for all but admins."""

    visitor: Visitor
    answer: Answer
    now: float
    announcements: tuple[Announcement, ...]
    storage: tuple[FileSystem, ...]
    full_percent: float
    runs: Kept | None
    named_servers: bool = False

    @property
    def system(self) -> System | None:
        """None when the hub has not answered yet."""
        return self.answer.system

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The visitor's own, the default server first."""
        own = (one for one in self._all if one.user == self.visitor.name)
        return tuple(sorted(own, key=lambda one: one.server)) if self.visitor.may_have_server else ()

    @property
    def has_default(self) -> bool:
        """Whether the server without a name is among the sessions."""
        return any(not one.server for one in self.sessions)

    @property
    def jobs(self) -> tuple[Session | Job, ...]:
        """The visitor's own that are known to the scheduler: servers', then others."""
        others = self.system.jobs if self.system and self.visitor.may_have_server else ()
        return (*(one for one in self.sessions if one.job_id), *(one for one in others if one.user == self.visitor.name))

    @property
    def past(self) -> tuple[Past, ...]:
        """The visitor's last sessions, newest first."""
        ended = [usage for one in self.sessions for usage in one.past]
        return tuple(sorted(ended, key=lambda usage: usage.ended_at or 0.0, reverse=True)[:PAST_SESSIONS])

    @property
    def everybody(self) -> tuple[Session, ...]:
        """All sessions that are not stopped."""
        return tuple(one for one in self._all if one.state != "stopped") if self.visitor.admin else ()

    @property
    def failed(self) -> tuple[Session, ...]:
        """Whose last start failed."""
        return tuple(one for one in self._all if one.error) if self.visitor.admin else ()

    @property
    def counts(self) -> Counts | None:
        """What went wrong since the hub began."""
        return self.system.counts if self.system and self.visitor.admin else None

    @property
    def _all(self) -> tuple[Session, ...]:
        return self.system.sessions if self.system else ()
