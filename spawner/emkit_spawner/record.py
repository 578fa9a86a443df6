"""What the hub's database keeps of a server: enough to find its job again, whenever the hub was killed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

PAST_SESSIONS = 5  # whose usage is kept for the advice about the next request


@dataclass
class Record:
    """Of the present job, and what outlives it: the options of the last start that worked, what the last sessions used, and why
    the last one ended, where nobody had asked for that.

    `token_id` is that of the token the job holds, `port` what the job has reported, `asked_at` POSIX seconds of the submission,
    `stopping` whether somebody has asked for the job's end.
    """

    job_name: str = ""
    job_id: str = ""
    token_id: int | None = None
    port: int = 0
    asked_at: float | None = None
    stopping: bool = False
    good_options: dict[str, Any] | None = None
    past: list[dict[str, Any]] = field(default_factory=list)
    why_ended: str = ""

    @classmethod
    def read(cls, state: Mapping[str, Any]) -> Self:
        """The record in `state`; keys that it does not know, another version's, are left out."""
        return cls(**{name: state[name] for name in (field.name for field in fields(cls)) if name in state})

    def state(self) -> dict[str, Any]:
        """As JSON; what is not set is left out."""
        empty = Record()
        return {name: value for name, value in asdict(self).items() if value != getattr(empty, name)}

    def without_job(self) -> "Record":
        return Record(good_options=self.good_options, past=self.past, why_ended=self.why_ended)

    def remember(self, usage: Mapping[str, Any]) -> None:
        """Add what a session used, the newest last; a job that is known already (by "job") only once."""
        others = [past for past in self.past if past.get("job") != usage["job"]]
        self.past = [*others, dict(usage)][-PAST_SESSIONS:]
