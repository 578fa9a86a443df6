"""What guests live through: a dashboard that answers, a full house, the queue, tabs that close, edits by the site."""

import ast
import asyncio
import json
import os
import re
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from emkit_hub.dashboards.channels import MALFORMED, NOT_BINARY

from tests.dashboards.site import Channels, Guest, Site, kernel_id, until, write_notebook
from tests.dashboards.test_channels import frame

pytestmark = [pytest.mark.hub, pytest.mark.asyncio]


def widget(models: dict[str, dict[str, object]], kind: str) -> str:
    """The id of the kernel's first widget of this kind."""
    return next(model for model, state in models.items() if state["model_name"] == kind)


async def test_a_dashboard_answers_and_shows_no_code(ann: Guest) -> None:
    status, page = await ann.ask("open/slider?secret=42")
    assert status == 200
    assert "never shown" not in page and "ipywidgets" not in page.split("jupyter-config-data")[0] and "secret=42" not in page
    ann.kernels.append(kernel_id(page))
    async with ann.channels(ann.kernels[-1]) as channels:
        models = await channels.models()
        await channels.set(widget(models, "IntSliderModel"), value=7)
        assert await channels.changed(widget(models, "TextModel"), "value", bool) == "got 7"


async def test_every_guest_draws_other_numbers(ann: Guest) -> None:
    async def draws(guest: Guest) -> object:
        async with guest.channels(await guest.open("slider")) as channels:
            models = await channels.models()
            return models[widget(models, "LabelModel")]["state"]["value"]

    assert len({await draws(ann) for _ in range(3)}) == 3


async def test_the_gallery_says_who_you_are_and_what_is_free(ann: Guest) -> None:
    async with ann.shown("slider"):
        page = await ann.gallery()
    assert re.search(r"You are <b>w-ann-[0-9a-f]{10}</b>", page)
    assert "<b>5</b> of 6 places free" in page and "open in another tab" in page
    assert "A slider" in page and "About slider." in page and "about 2 min" in page
    assert "private" not in page


async def test_a_failing_notebook_says_so_and_hides_why(ann: Guest) -> None:
    status, page = await ann.ask("open/fails")
    assert status == 200 and "Please tell the person who runs this site" in page and "ZeroDivisionError" not in page
    ann.kernels.append(kernel_id(page))


async def test_full_then_wait_then_in(site: Site, ann: Guest) -> None:
    async with AsyncExitStack() as house:  # whoever fails to leave does not keep the others in
        entered = await asyncio.gather(*(site.guest(f"g{number}") for number in range(8)))
        guests = [await house.enter_async_context(guest) for guest in entered]

        async def come(guest: Guest) -> tuple[int, str]:
            status, page = await guest.ask("open/slider")
            if status == 200:
                guest.kernels.append(kernel_id(page))
                await house.enter_async_context(guest.channels(guest.kernels[-1]))
            return status, page

        answers = await asyncio.gather(*(come(guest) for guest in guests))  # eight at once, for six places
        inside = [guest for guest, (status, _) in zip(guests, answers, strict=True) if status == 200]
        waiting = [(guest, page) for guest, (status, page) in zip(guests, answers, strict=True) if status == 503]
        assert (len(inside), len(waiting)) == (6, 2)
        first, second = sorted(waiting, key=lambda one: int(re.search(r"number (\d)", one[1])[1]))  # type: ignore[index]
        assert "number 1" in first[1] and "number 2" in second[1]
        async with second[0].http.get(f"{site.base}open/slider") as answer:
            assert (answer.status, answer.headers["Retry-After"], answer.headers["Refresh"]) == (503, "5", "5")
        assert "All 6 places are taken" in await ann.gallery()
        await inside[0].leave()
        assert (await second[0].ask("open/slider"))[0] == 503, "the free place is for whoever came first"
        assert (await come(first[0]))[0] == 200
        swapped = inside[1]
        await swapped.open("slider")
        assert await swapped.handshake(swapped.kernels[0]) == 404, "at a full house a guest swaps a place, and takes no second one"


async def test_one_guest_holds_two_at_most(ann: Guest) -> None:
    async with AsyncExitStack() as tabs:
        kernels = [await tabs.enter_async_context(ann.shown("slider")) for _ in range(3)]
        assert [await ann.handshake(kernel) for kernel in kernels] == [404, 101, 101]
        assert json.loads((await ann.ask(f"place/{kernels[0]}"))[1]) == {"held": False, "reason": "you opened another dashboard"}


async def test_a_closed_tab_frees_its_place(site: Site, ann: Guest) -> None:
    kernel = await ann.open("slider")
    async with ann.channels(kernel) as channels:
        await channels.models()
        assert json.loads((await ann.ask(f"place/{kernel}"))[1])["held"]
    await site.all_free(ann)
    assert "closed or lost" in json.loads((await ann.ask(f"place/{kernel}"))[1])["reason"]
    assert await ann.handshake(kernel) == 404


async def test_a_page_that_never_connects_frees_its_place(site: Site, ann: Guest) -> None:
    kernel = await ann.open("slider")
    await site.all_free(ann)
    assert "never connected" in json.loads((await ann.ask(f"place/{kernel}"))[1])["reason"]


async def test_code_is_not_run_and_malformed_frames_end_the_connection(site: Site, ann: Guest, tmp_path: Path) -> None:
    kernel = await ann.open("slider")
    async with ann.channels(kernel) as channels:
        for kind in (
            "execute_request",
            "inspect_request",
            "complete_request",
            "history_request",
            "shutdown_request",
            "debug_request",
        ):
            await channels.send(kind, {"code": f"open({str(tmp_path / 'x')!r}, 'w')", "silent": False, "user_expressions": {}})
        models = await channels.models()  # answered after the others would have been
        assert models and not (tmp_path / "x").exists()

        async def code(bad: bytes | str) -> int | None:
            async with ann.channels(kernel) as others:
                return await others.close_code(bad)

        assert await code((2**32 - 1).to_bytes(8, "little") + b"abc") == MALFORMED
        assert await code(frame()[:-1]) == MALFORMED
        assert await code("{}") == NOT_BINARY
        assert await code(b"x" * (17 * 2**20)) in (1006, 1009), "too big"
        assert await ann.handshake(kernel, protocols=()) == 400
        assert await ann.handshake(kernel, protocols=("v0.kernel.websocket.jupyter.org",)) == 400
        assert await ann.handshake(kernel) == 101, "the service and the kernel live on"


async def test_a_new_notebook_and_an_edit_are_served_at_once(site: Site, ann: Guest, notebooks: Path) -> None:
    path = write_notebook(notebooks / "fresh.ipynb", ["print('first')"])
    try:
        assert "About fresh" in await ann.gallery()
        assert "first" in (await ann.ask("open/fresh"))[1]
        write_notebook(path, ["print('second')"])
        assert "second" in (await ann.ask("open/fresh"))[1]
    finally:
        path.unlink()
    assert (await ann.ask("open/fresh"))[0] == 404


async def test_a_kernel_that_died_is_replaced_and_its_page_told(site: Site, ann: Guest) -> None:
    kernel = await ann.open("holes")
    async with ann.channels(kernel) as channels:
        await order(channels, "processor", 60)  # its limit is 4 s of processor time
        await until(lambda: lost(ann, kernel), 60, site.log)
    assert "its kernel ended" in json.loads((await ann.ask(f"place/{kernel}"))[1])["reason"]


@pytest.mark.campaign  # the hub looks after its services every 30 s
async def test_without_its_fork_server_the_service_starts_anew(site: Site, ann: Guest) -> None:
    async with ann.channels(await ann.open("holes")) as channels:
        answer = await order(channels, "where")
        os.kill(ast.literal_eval(json.loads(await channels.changed(answer, "value", bool))[1])[3], signal.SIGKILL)
    ann.kernels.clear()
    await until(lambda: ann.answers(site.base, 302), 60, site.log)  # the login of before is not known to the new service
    await ann.gallery()
    assert await ann.open("slider")


async def lost(guest: Guest, kernel: str) -> bool:
    """Whether the kernel has been taken from the guest."""
    return not json.loads((await guest.ask(f"place/{kernel}"))[1])["held"]


async def order(channels: Channels, *command: object) -> str:
    """Type a command into the dashboard with holes; returns the id of the widget that will answer."""
    models = await channels.models()
    boxes = {str(state["state"]["description"]): model for model, state in models.items() if state["model_name"] == "TextModel"}
    await channels.set(boxes["command"], value=json.dumps(command))
    return boxes["answer"]
