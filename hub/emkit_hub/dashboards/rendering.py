"""One kernel, one run of a dashboard's notebook in it, and the page that comes out."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jinja2
import nbformat
from jinja2.bccache import Bucket
from jupyter_client.utils import ensure_async  # type: ignore[attr-defined]
from voila.notebook_renderer import NotebookRenderer

from emkit_hub.dashboards.gallery import Dashboard
from emkit_hub.dashboards.kernels import Kernels

HEARTBEAT_S = 10.0
_HEARTBEAT = "<script>window.voila_heartbeat()</script>\n"  # keeps proxies from closing a page whose cell runs for long

RendererFactory = Callable[[Dashboard], NotebookRenderer]


class _CompiledTemplates(jinja2.BytecodeCache):
    """Templates compiled once for all renderers, each with an environment of its own: compiling took most of a rendering's time."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _CompiledTemplates()


class SiteRenderer(NotebookRenderer):
    """Voila's renderer, for notebooks that the site owns."""

    async def initialize(self, **kwargs: Any) -> None:
        """As Voila's, with templates that are compiled already."""
        await super().initialize(**kwargs)
        self.exporter.environment.bytecode_cache = _COMPILED

    async def load_notebook(self, path: str) -> Any:
        """The notebook of this file, under its title, with a kernel that exists here; the site's notebooks need no signature."""
        notebook = await self.fix_notebook(nbformat.read(path, as_version=4))
        notebook.metadata["title"] = notebook.metadata.get("emkit", {}).get("title") or Path(path).stem
        return notebook


class Rendering:
    """A kernel that runs one dashboard; the page is kept until its one guest takes it, piece by piece as it comes."""

    def __init__(self, dashboard: Dashboard, kernels: Kernels, renderer: RendererFactory) -> None:
        self.dashboard = dashboard
        self.kernel_id = str(uuid.uuid4())
        self._kernels = kernels
        self._renderer = renderer
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def finished(self) -> bool:
        """True once the notebook has run to its end, or failed."""
        return self._task is not None and self._task.done()

    def start(self, when_finished: Callable[["Rendering", BaseException | None], None]) -> None:
        """Make the kernel and run the notebook in the background; `when_finished` is told the error, if any."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda task: when_finished(self, None if task.cancelled() else task.exception()))

    async def _run(self) -> None:
        try:
            await self._kernels.open(self.kernel_id)
            renderer = self._renderer(self.dashboard)
            await renderer.initialize()
            kernel: Any = ensure_async(self._kernels.get_kernel(self.kernel_id))
            async for piece, _ in renderer.generate_content_generator(self.kernel_id, kernel):
                self._pieces.put_nowait(piece)
        finally:
            self._pieces.put_nowait(None)

    async def page(self) -> AsyncIterator[str]:
        """The pieces of the page; raises what stopped the run, once the pieces before it are out."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    piece = await self._pieces.get()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            if piece is None:
                break
            yield piece
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Stop the run and give the kernel back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._pieces.put_nowait(None)
        await self._kernels.close(self.kernel_id)
