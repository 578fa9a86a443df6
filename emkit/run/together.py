"""Tasks that wait for each other, such as the processes of one training.

They are begun once there are hands for all of them, and are tried as one: where a task ends before its time, the others would wait
for it, so they are ended too, and all are begun again.
"""

import time
from collections.abc import Generator
from datetime import timedelta
from uuid import uuid4

from emkit.errors import EmkitError, ResourceError
from emkit.progress import PERIOD_S
from emkit.run.executor import TRIES, Answer, Executor, Tasks, Unbegun, Work, WorkerDied, check_wanted
from emkit.run.worker import Done, Failed

PATIENCE_S = 3600.0  # until there are hands for all: jobs of workers wait in queues
CAUSES = EmkitError, WorkerDied
CAUSE_S = 1.0  # who loses a partner may say so before it is known how that one ended


def outcomes_together(
    hands: Executor, work: Work, tasks: Tasks, patience_s: float = PATIENCE_S
) -> Generator[Done | Failed, None, None]:
    """What comes of all tasks, or the failure that ended them in their last try. Each takes one argument more: a name of its try.

    A worker that had to leave costs no try. Raises `Cancelled` within two tenths of a second after somebody asks for it, and
    ResourceError where there are not hands for all within `patience_s`.
    """
    tried = 0
    while True:
        _await_hands(hands, len(tasks), patience_s)
        name = uuid4().hex
        for key, arguments in tasks.items():
            hands.begin(work, {key: (*arguments, name)})
        answers = _answers(hands, len(tasks))
        done = [answer for answer in answers if isinstance(answer, Done)]
        if len(done) == len(tasks):
            yield from done
            return
        hands.end()
        if failed := [answer for answer in answers if isinstance(answer, Failed)]:
            tried += 1
            cause = next((one for kind in CAUSES for one in failed if isinstance(one.error, kind)), failed[0])
            if isinstance(cause.error, EmkitError) or tried == TRIES:
                yield cause
                return


def _await_hands(hands: Executor, needed: int, patience_s: float) -> None:
    """Return once all can be begun."""
    until = time.monotonic() + patience_s
    while not hands.has_room(needed):
        if time.monotonic() > until:
            raise ResourceError(
                f"{needed} tasks must run at the same time, but within {timedelta(seconds=patience_s)} there was room for "
                f"{hands.size}. What is done is kept: emkit resume goes on when there is more room, or at another place (--on)."
            )
        check_wanted(needed)
        hands.answers(PERIOD_S)


def _answers(hands: Executor, tasks: int) -> list[Answer]:
    """Of all tasks, or until one has ended too early and it is known why, or will not be."""
    found: list[Answer] = []
    until = float("inf")
    while len(found) < tasks and time.monotonic() < until:
        check_wanted(tasks - len(found))
        found += hands.answers(PERIOD_S)
        ended = [answer for answer in found if not isinstance(answer, Done)]
        if any(isinstance(answer, Unbegun) or isinstance(answer.error, CAUSES) for answer in ended):
            break
        if ended:
            until = min(until, time.monotonic() + CAUSE_S)
    return found
