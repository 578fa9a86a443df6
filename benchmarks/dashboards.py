"""Dashboards for guests beside plain Voila with preheated kernels: the wait for the first canvas, and fifty guests at once.

    python -m benchmarks.dashboards [--visits 5] [--guests 50] [--runs 5] [--pool 10] [--json FILE]

The same notebook in both (one canvas, drawn by a widget). Visits are interleaved, each in a new Chromium for the first visit and
once more in it for the later ones; seconds from the request to the canvas drawn, by the page's own clock. Ours goes through hub,
proxy and login check; Voila's is reached directly. The fifty are HTTP and websocket clients without a browser: page, handshake,
and the state of every widget; no peer has a cap, so this part stands alone, with a pool as large as the burst and a small one.
Last come as many attendees as a workshop has, who all log in at once, at a hub that has only just started: the last one's wait.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
from emkit_hub import proxy
from emkit_hub.dashboards.settings import DashboardSettings
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.tools import CHROMIUM_FLAGS
from tests.dashboards.site import PASSWORD, Guest, Site, free_ports, warm_kernels, write_notebook

CANVAS = '''
    import anywidget, ipywidgets, numpy, traitlets

    class Canvas(anywidget.AnyWidget):
        _esm = """export default { render({ model, el }) {
            const canvas = document.createElement("canvas"); el.append(canvas);
            canvas.getContext("2d").fillRect(0, 0, 100, 100);
            window.drawn ??= performance.now();
        } }"""

    ipywidgets.VBox([ipywidgets.IntSlider(), Canvas()])
'''


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


async def first_canvas(page: Page, address: str) -> float:
    """Seconds until the dashboard's first canvas is drawn."""
    await page.goto(address, wait_until="commit")
    await page.wait_for_function("window.drawn", timeout=60_000)
    return float(await page.evaluate("window.drawn")) / 1000


async def log_in(page: Page, site: Site) -> None:
    """Through the hub, to the gallery."""
    await page.goto(site.base)
    await page.fill("input[name=username]", "bench")
    await page.fill("input[name=password]", PASSWORD)
    await page.click("[type=submit]")
    await page.wait_for_url(site.base)


async def more_than(before: int, count: Callable[[], int]) -> None:
    """Wait until the count has grown: the pool is full again."""
    while count() <= before:
        await asyncio.sleep(0.1)


async def visits(folder: Path, count: int) -> dict[str, dict[str, list[float]]]:
    """First and later visits of ours and of Voila's, interleaved."""
    site = Site(folder, DashboardSettings(folders=(folder / "notebooks",), pool=2, cap=10))
    found: dict[str, dict[str, list[float]]] = {name: {"first visit": [], "later visits": []} for name in ("emkit", "voila")}
    log = folder / "voila.log"
    [port] = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "voila",
        "--no-browser",
        f"--port={port}",
        "--preheat_kernel=True",
        "--pool_size=2",
        str(folder / "notebooks"),
    ]
    with site, log.open("wb") as output:
        voila = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
        try:
            await site.ready(warm=2)
            warm: dict[str, Callable[[], int]] = {
                "emkit": lambda: warm_kernels(site.log),
                "voila": lambda: log.read_text(encoding="utf-8").count("is filled with 2"),
            }
            await more_than(0, warm["voila"])
            addresses = {"emkit": f"{site.base}open/canvas", "voila": f"http://127.0.0.1:{port}/voila/render/canvas.ipynb"}
            async with async_playwright() as playwright:
                for _ in range(count):
                    for name, address in addresses.items():
                        browser: Browser = await playwright.chromium.launch(
                            executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS
                        )
                        page = await browser.new_page()
                        if name == "emkit":
                            await log_in(page, site)
                        for visit in ("first visit", "later visits", "later visits"):
                            before = warm[name]()
                            found[name][visit].append(await first_canvas(page, address))
                            await more_than(before, warm[name])
                        await browser.close()
        finally:
            voila.terminate()
            await voila.wait()
    return found


async def burst(guests: list[Guest]) -> list[float]:
    """All open the dashboard at the same moment; seconds until each has the state of all widgets, for those who were served."""

    async def one(guest: Guest) -> float | None:
        started = time.perf_counter()
        try:
            channels = await stack.enter_async_context(guest.channels(await guest.open("canvas")))
            await channels.models()
        except (AssertionError, aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            print(f"not served: {error!r:.200}")
            return None
        return time.perf_counter() - started

    async with AsyncExitStack() as stack:
        waits = await asyncio.gather(*(one(guest) for guest in guests))
    return [wait for wait in waits if wait is not None]


async def bursts(folder: Path, count: int, pool: int, runs: int) -> list[list[float]]:
    """`runs` bursts of `count` guests, each on a full pool."""
    settings = DashboardSettings(folders=(folder / "notebooks",), pool=pool, cap=count)
    with Site(folder, settings) as site:
        await site.ready(warm=pool)
        guests = [await site.guest(f"g{number}") for number in range(count)]
        found = []
        for _ in range(runs):
            before = warm_kernels(site.log)
            found.append(await burst(guests))
            await asyncio.gather(*(guest.leave() for guest in guests))
            await more_than(before + pool - 1, lambda: warm_kernels(site.log))
        for guest in guests:
            await guest.http.close()
    return found


async def attendees(folder: Path, count: int, pool: int) -> list[float]:
    """Seconds from the login form to the state of all widgets, for each who was served; nothing is warm when they come."""

    async def one(number: int) -> float | None:
        started = time.perf_counter()
        guest = await site.guest(f"attendee{number}")
        stack.push_async_callback(guest.http.close)
        return time.perf_counter() - started if await burst([guest]) else None

    with Site(folder, DashboardSettings(folders=(folder / "notebooks",), pool=pool, cap=count)) as site:
        await site.ready()
        async with AsyncExitStack() as stack:
            waits = await asyncio.gather(*(one(number) for number in range(count)))
    return [wait for wait in waits if wait is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pool", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    proxy.install()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        write_notebook(folder / "notebooks" / "canvas.ipynb", [CANVAS])
        if given.visits:
            found = report["first canvas, s"] = asyncio.run(visits(folder, given.visits))
            for visit in ("first visit", "later visits"):
                ours, theirs = found["emkit"][visit], found["voila"][visit]
                ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
                print(f"first canvas, {visit:12}: emkit {spread(ours)} s, plain Voila {spread(theirs)} s, ratio {spread(ratios)}")
        for pool in sorted({given.guests, given.pool}, reverse=True) if given.runs else ():
            waits = report[f"{given.guests} at once, pool of {pool}, s"] = asyncio.run(
                bursts(folder, given.guests, pool, given.runs)
            )
            served = [len(run) for run in waits]
            p50 = [statistics.quantiles(run, n=20)[9] for run in waits]
            p95 = [statistics.quantiles(run, n=20)[18] for run in waits]
            print(f"{given.guests} at once, pool of {pool}: served {served}; first output p50 {spread(p50)} s, p95 {spread(p95)} s")
        if given.runs:
            rounds = [asyncio.run(attendees(folder, given.guests, given.pool)) for _ in range(given.runs)]
            report[f"{given.guests} attendees from the login on, s"] = rounds
            last = [max(waits) for waits in rounds]
            served = [len(waits) for waits in rounds]
            print(
                print(
                    f"{given.guests} attendees from the login on, nothing warm: served {served}; last ready after {spread(last)} s"
                )
            )
    if given.json:
        given.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
