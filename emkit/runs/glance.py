"""A run at a glance: what a panel and the hub's page show of it, in the same time for ten tasks and for 10⁵."""

from dataclasses import dataclass
from datetime import UTC, datetime

from emkit.progress import Tick
from emkit.run.folder import ENDINGS, RunFolder, State
from emkit.run.plan import Plan
from emkit.runs.finding import all_runs


@dataclass(frozen=True)
class Glance:
    """Where a run stands; times are POSIX seconds. `tick` is its newest progress, `used` what it took, once it is done."""

    id: str
    step: str
    out: str | None
    state: State
    message: str
    began_at: float | None
    said_at: float  # since when it is in this state
    tick: Tick | None
    plan: Plan
    used: Plan | None

    @classmethod
    def at(cls, folder: RunFolder) -> "Glance":
        """What the run's folder says now."""
        facts, said = folder.facts(), folder.said()
        used = Plan(**facts["used"]) if "used" in facts else None
        told = State(said["state"]), said["message"], _began_at(folder.id), said["at"], folder.last_event()
        return cls(folder.id, facts["step"], facts["out"], *told, Plan(**facts["plan"]), used)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more, unless somebody goes on with it."""
        return self.state in (*ENDINGS, State.INTERRUPTED)


def _began_at(name: str) -> float | None:
    """A run's id begins with the second in which it was made; None for a folder that somebody has renamed."""
    try:
        return datetime.strptime(name[: len("20261121T164314")], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class Glances:
    """My runs, looked at again and again: those that had ended are read anew only when their state was written anew."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Glance]] = {}

    def newest(self, most: int) -> list[Glance]:
        """At most so many, the newest first."""
        found: dict[str, tuple[int, Glance]] = {}
        for folder in reversed(all_runs()[-most:]):
            try:
                changed_ns = (folder.path / "state.json").stat().st_mtime_ns
                before = self._known.get(folder.id)
                same = before is not None and before[0] == changed_ns and before[1].state in ENDINGS
                found[folder.id] = before if before and same else (changed_ns, Glance.at(folder))
            except (OSError, ValueError, KeyError, TypeError):  # it is being removed, or another version wrote it
                continue
        self._known = found
        return [glance for _, glance in found.values()]
