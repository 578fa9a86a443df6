"""Running the scheduler's commands: what they say, and that nothing hangs, whenever whoever asked goes away."""

import asyncio

import pytest
from emkit_jobs.slurm.commands import CommandError, Commands

COMMANDS = Commands(patience_s=0.5)


def test_what_it_says_and_is_told() -> None:
    assert asyncio.run(COMMANDS.run_both("sh", "-c", "cat; echo beside >&2", text="é\n")) == ("é\n", "beside\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("sh", "-c", "echo no such account >&2; exit 3"), "sh: no such account"),
        (("sh", "-c", "exit 3"), "sh: it ended with exit code 3"),
        (("sh", "-c", "sleep 60 & wait"), "sh did not answer within 0.5 s."),
        (("/nowhere/squeue",), "/nowhere/squeue cannot be run"),
    ],
)
def test_a_failure_has_its_words(command: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        asyncio.run(COMMANDS.run(*command))


@pytest.mark.parametrize("turns", range(8))
def test_whoever_asks_may_go_away_at_any_turn_of_the_loop(turns: int) -> None:
    """As a hub that stops does: it cancels all its tasks, and waits for them."""

    async def asked_and_gone() -> None:
        asked = asyncio.create_task(COMMANDS.run("sleep", "60"))
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # also those that asyncio has begun for it
            task.cancel()
        await asyncio.wait({asked}, timeout=60)
        assert asked.cancelled()

    asyncio.run(asked_and_gone())
