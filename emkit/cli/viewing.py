"""`emkit view`: look at a volume in the browser, from a plain terminal."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Any]


def add(commands: "Subcommands") -> None:
    parser = commands.add_parser(
        "view",
        help="Look at a volume in the browser.",
        description="Serve a volume to a browser on this machine, until Ctrl-C. On a remote machine, forward the port first: "
        "ssh -L PORT:127.0.0.1:PORT HOST.",
    )
    parser.add_argument("volume", type=Path, metavar="OUT.ome.zarr", help="the volume to show")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="the folder of sections it was made from, shown beside it")
    parser.add_argument("--predict", type=Path, metavar="MODEL", help="lay over it what this model predicts where you look")
    parser.add_argument("--box", metavar="Z0:Z1,Y0:Y1,X0:X1", help="with --predict: only there, in voxels")
    parser.add_argument("--image", type=Path, metavar="RAW.ome.zarr", help="lay it over this volume, as cells over their images")
    parser.add_argument("--correct", action="store_true", help="merge and split cells of a segmentation by click")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port to listen on (default: a free one)")
    parser.set_defaults(run=view)


def view(given: argparse.Namespace) -> int:
    import asyncio

    from emkit.errors import ParameterError
    from emkit.run.output import unfinished
    from emkit.server.alone import serving

    if given.box and not given.predict:
        raise ParameterError("--box is where a model is asked; pass --predict MODEL too.")
    if not given.volume.exists() and unfinished(given.volume).is_dir():
        given.volume = unfinished(given.volume)
        print("It is still being made: what is not written yet is black. Reload the page to see more.", flush=True)

    async def serve() -> None:
        ways = {"before": given.before, "model": given.predict, "box": given.box, "image": given.image, "correct": given.correct}
        async with serving(given.volume, **ways, port=given.port) as url:
            print(f"{url}\nOpen this address in a browser on this machine. Ctrl-C ends.", flush=True)
            await asyncio.Event().wait()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        return 0
    return 0
