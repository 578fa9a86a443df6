"""From slider to drawn frame: a section of 1024² in a notebook, in emkit's viewer and beside it in what notebooks use today.

    python -m benchmarks.slider [--rounds 5] [--steps 8] [--json FILE]

JupyterLab on loopback, one Chromium, software rendering. The clock runs in the page, from the slider's event to the animation frame
after the new pixels are on the canvas. The ways take turns in one run; a ratio is of the medians of one round. `step` is to the
neighbouring section, as a slider moves; `jump` to one that the viewer cannot have fetched ahead. `at 50 Mbit/s` goes through a
line of that speed (a relay that lets no more through, each way), where the viewer sends JPEG.

Peers: `plain canvas` is an ipywidgets slider that makes the kernel send raw bytes to a bare canvas (the trial that the viewer
grew out of); `ipympl` is matplotlib in the notebook, in packages of its own, pinned below, installed into a temporary folder.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.tools import CHROMIUM_FLAGS, Lab
from tests.servers import TOKEN, jupyter

PEER = ["ipympl==0.10.0"]  # its own needs, matplotlib among them, are met by the environment
LINE_BITS_S = 50e6
BURST_S = 0.01  # a sleep that took longer than asked is made up for, within this

SECTIONS = """
from emkit.phantoms import SectionPhantom
phantom = SectionPhantom(shape=(1024, 1024), count=10, seed=0)
sections = [phantom.render_section(z) for z in range(10)] * 100  # the viewer keeps by number: a repeated section is fetched again
"""

VIEWER = """
from emkit_widgets.section import SectionView
SectionView(sections, encoding={encoding!r}, window=(0, 255))
"""

CANVAS = """
import anywidget, ipywidgets, traitlets
class Canvas(anywidget.AnyWidget):
    _esm = '''
    function render({ model, el }) {
      const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1024; canvas.className = "plain";
      el.append(canvas); const context = canvas.getContext("2d"), image = context.createImageData(1024, 1024), pixels =
      new Uint32Array(image.data.buffer); const draw = () => {
        const sent = model.get("pixels"), bytes = new Uint8Array(sent.buffer, sent.byteOffset, sent.byteLength);
        for (let i = 0; i < bytes.length; i++) pixels[i] = 0xff000000 | (bytes[i] * 0x010101);
        context.putImageData(image, 0, 0); canvas.dataset.section = model.get("z");
      };
      model.on("change:z", draw); draw();
    }
    export default { render };'''
    pixels, z = traitlets.Bytes().tag(sync=True), traitlets.Int().tag(sync=True)
canvas, slider = Canvas(pixels=sections[0].tobytes()), ipywidgets.IntSlider(max=len(sections) - 1)
def show(change):
    with canvas.hold_sync():
        canvas.pixels, canvas.z = sections[change.new].tobytes(), change.new
slider.observe(show, "value")
ipywidgets.VBox([slider, canvas])
"""

IPYMPL = """
%matplotlib widget
import ipywidgets, matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(7, 7))
image = axes.imshow(sections[0], cmap="gray", vmin=0, vmax=255)
slider = ipywidgets.IntSlider(max=len(sections) - 1)
def show(change):
    image.set_data(sections[change.new])
    figure.canvas.draw_idle()
slider.observe(show, "value")
ipywidgets.VBox([slider, figure.canvas])
"""

# Run in the page. A move goes `by` sections further; a probe changes when the new section is on the canvas.
VIEWER_MOVE = """by => {
    const slider = document.querySelector('.emkit-section .index');
    slider.value = Number(slider.value) + by;
    slider.dispatchEvent(new Event('input'));
}"""
HANDLE_MOVE = """by => {
    const key = new KeyboardEvent('keydown', {key: by > 1 ? 'PageUp' : 'ArrowRight', bubbles: true, cancelable: true});
    document.querySelector('.noUi-handle').dispatchEvent(key);
}"""
SECTION_PROBE = "() => document.querySelector('canvas[data-section]')?.dataset.section"
PIXEL_PROBE = """() => {
    const canvas = [...document.querySelectorAll('.jupyter-matplotlib canvas')].find(c => c.width > 200);
    const data = canvas?.getContext('2d').getImageData(300, 300, 40, 40).data;
    return data && data.reduce((sum, value) => (sum * 31 + value) | 0, 0);
}"""
TIMED = """async ([move, probe, by]) => {
    const before = probe(), start = performance.now();
    move(by);
    while (probe() === before) {
        if (performance.now() - start > 20000) throw new Error('nothing was drawn');
        await new Promise(next => setTimeout(next, 1));
    }
    return new Promise(drawn => requestAnimationFrame(() => drawn(performance.now() - start)));
}"""


@dataclass(frozen=True)
class Way:
    """One way to look at sections: its notebook, how its slider is moved, how a new frame is seen."""

    cells: tuple[str, ...]
    move: str
    probe: str
    slow_line: bool = False


WAYS = {
    "emkit": Way((SECTIONS, VIEWER.format(encoding="raw")), VIEWER_MOVE, SECTION_PROBE),
    "emkit at 50 Mbit/s": Way((SECTIONS, VIEWER.format(encoding="jpeg")), VIEWER_MOVE, SECTION_PROBE, slow_line=True),
    "plain canvas": Way((SECTIONS, CANVAS), HANDLE_MOVE, SECTION_PROBE),
    "plain canvas at 50 Mbit/s": Way((SECTIONS, CANVAS), HANDLE_MOVE, SECTION_PROBE, slow_line=True),
    "ipympl": Way((SECTIONS, IPYMPL), HANDLE_MOVE, PIXEL_PROBE),
    "ipympl at 50 Mbit/s": Way((SECTIONS, IPYMPL), HANDLE_MOVE, PIXEL_PROBE, slow_line=True),
}
MOVES = {"step": 1, "jump": 17}
PAUSE_MS = 250  # between two moves, as a hand pauses; the viewer fetches ahead in it


def timed(page: Page, way: Way, by: int) -> float:
    """Milliseconds from the slider's event to the frame after the new pixels."""
    page.wait_for_timeout(PAUSE_MS)
    return float(page.evaluate(f"by => ({TIMED})([{way.move}, {way.probe}, by])", by))


@contextmanager
def line(port: int) -> Iterator[int]:
    """A port that leads to another by a line of LINE_BITS_S each way, shared by all its connections."""
    loop = asyncio.new_event_loop()
    free = {"up": 0.0, "down": 0.0}  # when each direction has sent what it was given

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        try:
            while piece := await reader.read(16384):
                free[way] = max(loop.time() - BURST_S, free[way]) + 8 * len(piece) / LINE_BITS_S
                await asyncio.sleep(max(0, free[way] - loop.time()))
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # the page was closed
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, there_writer, "up"), carry(there_reader, writer, "down"))

    async def serve(started: "asyncio.Future[int]", stop: asyncio.Event) -> None:
        async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
            started.set_result(server.sockets[0].getsockname()[1])
            await stop.wait()

    started: asyncio.Future[int] = loop.create_future()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(started, stop)), daemon=True)
    ready = threading.Event()
    started.add_done_callback(lambda _: ready.set())
    thread.start()
    ready.wait()
    try:
        yield started.result()
    finally:
        loop.call_soon_threadsafe(stop.set)


@contextmanager
def lab_with_peer(folder: Path) -> Iterator[tuple[Lab, Lab]]:
    """A JupyterLab that has ipympl too: reached directly, and over the slow line."""
    packages = folder / "peer"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(packages), "--no-deps", *PEER]
    subprocess.run(install, check=True)
    places = {"PYTHONPATH": str(packages), "JUPYTER_PATH": str(packages / "share" / "jupyter")}
    root = f"--ServerApp.root_dir={folder}"
    with (
        jupyter("jupyterlab", "--expose-app-in-browser", root, home=folder / "home", environment=places) as server,
        line(server.port) as slow,
    ):
        yield Lab(server.url, folder, TOKEN), Lab(f"http://127.0.0.1:{slow}/", folder, TOKEN)


def open_way(browser: Browser, lab: Lab, number: int, way: Way) -> Page:
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    lab.open(page, lab.write(f"way{number}.ipynb", *way.cells))
    lab.run(page)
    page.wait_for_function(f"({way.probe})() !== undefined", timeout=60_000)
    return page


def measure(rounds: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Way -> move -> the median of each round, in ms."""
    found: dict[str, dict[str, list[float]]] = {name: {move: [] for move in MOVES} for name in WAYS}
    with tempfile.TemporaryDirectory() as scratch, lab_with_peer(Path(scratch)) as (direct, slow), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=CHROMIUM_FLAGS)
        pages = {
            name: open_way(browser, slow if way.slow_line else direct, number, way)
            for number, (name, way) in enumerate(WAYS.items())
        }
        for _ in range(rounds):
            for move, by in MOVES.items():
                for name, page in pages.items():
                    page.bring_to_front()
                    found[name][move].append(statistics.median(timed(page, WAYS[name], by) for _ in range(steps)))
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="moves a round; their median counts")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.rounds, given.steps)
    for name, moves in found.items():
        base = found["emkit at 50 Mbit/s" if WAYS[name].slow_line else "emkit"]
        for move, medians in moves.items():
            ratios = sorted(theirs / ours for theirs, ours in zip(medians, base[move], strict=True))
            wait = f"{statistics.median(medians):4.0f} ms ({min(medians):.0f}–{max(medians):.0f})"
            print(f"{name:26} {move} {wait}, × {statistics.median(ratios):.1f} of emkit ({ratios[0]:.1f}–{ratios[-1]:.1f})")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
