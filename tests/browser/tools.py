"""What a browser test holds in its hands: a running Lab, a page's traffic, what a person sees."""

import json
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Frame, Locator, Page, Response

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWER = "iframe[title='Neuroglancer viewer']"


@dataclass
class Watch:
    """What pages asked for and complained about: `(status, url)` of every response, and uncaught errors."""

    responses: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        def seen(response: Response) -> None:
            self.responses.append((response.status, response.url))

        page.on("response", seen)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def count(self, status: int, part: str = "") -> int:
        return sum(code == status and part in url for code, url in self.responses)

    def failed(self, part: str = "") -> list[tuple[int, str]]:
        return [(code, url) for code, url in self.responses if code >= 400 and part in url]


def pixels(of: Page | Locator) -> np.ndarray:
    """(y, x, 3) uint8: what a person sees of a page or an element now."""
    return np.asarray(Image.open(BytesIO(of.screenshot())).convert("RGB"))


def viewer_frame(page: Page) -> Frame:
    """The frame of the page's Neuroglancer, once it is there and has its address."""
    frame = page.locator(VIEWER).element_handle(timeout=60_000).content_frame()
    assert frame is not None
    frame.wait_for_url("**/emkit/v/**", wait_until="commit")
    return frame


def until(page: Page | Frame, condition: str) -> None:
    """Wait, a minute at most, until a JavaScript condition holds. Needs no `eval`, which the viewer's page forbids."""
    page.evaluate(f"""() => new Promise((met, failed) => {{
        const look = () => {{ if ({condition}) met(); else requestAnimationFrame(look); }};
        setTimeout(() => failed(new Error({json.dumps(condition)} + " does not hold")), 60_000);
        look();
    }})""")


def drawn_viewer(page: Page) -> Frame:
    """The frame of the page's Neuroglancer, once it has drawn every chunk that it shows."""
    frame = viewer_frame(page)
    until(frame, "window.viewer?.isReady()")
    return frame


@dataclass
class Lab:
    """A running JupyterLab: `url` ends in a slash, `folder` is its root. Without a token the page must be logged in (a hub)."""

    url: str
    folder: Path
    token: str = ""

    def write(self, name: str, *cells: str, metadata: dict[str, Any] | None = None) -> str:
        """A notebook of these code cells in the root folder; returns its name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.update(metadata or {})
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / name)
        return name

    def open(self, page: Page, name: str) -> None:
        """Open a notebook and wait for its kernel."""
        token = f"&token={self.token}" if self.token else ""
        page.goto(f"{self.url}lab/workspaces/auto-t/tree/{name}?reset{token}")
        widget = "window.jupyterapp?.shell?.currentWidget"
        page.wait_for_function(f"{widget}?.context?.isReady && {widget}?.sessionContext?.session?.kernel", timeout=60_000)
        page.evaluate(f"{widget}.sessionContext.ready")

    def run(self, page: Page) -> list[str]:
        """Run every cell of the open notebook; returns each output as text, and raises if a cell raised."""
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        outputs = page.evaluate("""() => {
            const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
            return [...cells].flatMap(cell => cell.toJSON().outputs ?? []);
        }""")
        broken = [f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"]
        if broken:
            raise AssertionError(broken[0])
        return ["".join(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs]

    def execute(self, page: Page, code: str) -> str:
        """Run code in the open notebook's kernel; returns what it printed (or the error it raised)."""
        ask = """async code => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            let text = '';
            const future = kernel.requestExecute({code});
            future.onIOPub = message => { text += message.content.text ?? message.content.evalue ?? ''; };
            await future.done;
            return text;
        }"""
        return str(page.evaluate(ask, code))

    def shut(self, page: Page) -> None:
        """End the open notebook's kernel."""
        page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
