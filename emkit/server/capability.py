"""Capabilities: URLs that carry, signed, the one folder they may read.

Neuroglancer fetches from web workers, which cannot send the `_xsrf` token that Jupyter asks of scripts. So the token is not
asked for here; instead a URL must hold a *capability* that only a process of this server could have made:
`<grant>.<signature>`, the grant being JSON in base64url and the signature HMAC-SHA256 under the server's key. Nobody else can
guess one; and since every request must be logged in as well, one that leaks in a screenshot or a notebook is worth nothing to a
stranger.

The key is random, one per server, and dies with it. It travels in the environment variable `EMKIT_VIEW_KEY`: the server sets it
when the extension loads and its kernels inherit it. Whoever can read the environment of a process is of its account, and can
read its files anyway: a kernel can therefore grant only what its own account reads, for the server reads as that account, and a
grant signed for one user's server means nothing to another's. Where kernels are trusted less than their server (dashboards for
guests) the server's `roots` bound what any grant is worth, and the server reads as an account that sees nothing else.
"""

import hashlib
import hmac
import json
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from pathlib import Path

from emkit.errors import ResourceError
from emkit.model import SizeNm

KEY_VARIABLE = "EMKIT_VIEW_KEY"


@dataclass(frozen=True)
class Grant:
    """The folder that may be read. With a voxel size (z, y, x) it is a folder of sections, shown as one volume; with a model, what
    that predicts of it is shown, within a box (z0:z1,y0:y1,x0:x1) if there is one."""

    folder: Path
    voxel_size_nm: SizeNm | None = None
    model: Path | None = None
    box: str | None = None


def provide_key() -> bytes:
    """The server's key, made if there is none yet, and left where kernels started from here on find it."""
    return os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(32)).encode()


def inherited_key() -> bytes:
    """The key of the server that started this kernel. Raises ResourceError where no server did."""
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise ResourceError(
            f"The viewer needs a Jupyter server with the extension emkit.server, but {KEY_VARIABLE} is not set in this kernel. "
            "Enable it (jupyter server extension enable emkit.server), restart the server, then this kernel; "
            "or look at the volume from a terminal: emkit view OUT.ome.zarr."
        )
    return key.encode()


def sign(grant: Grant, key: bytes) -> str:
    """The capability for a grant: letters, digits, `-`, `_` and one dot."""
    model = str(grant.model.resolve()) if grant.model else None
    body = urlsafe_b64encode(json.dumps([str(grant.folder.resolve()), grant.voxel_size_nm, model, grant.box]).encode()).rstrip(b"=")
    return f"{body.decode()}.{_signature(body, key)}"


def verify(capability: str, key: bytes) -> Grant | None:
    """The grant in a capability; None if it was not signed with this key.

    >>> grant = Grant(Path("/data/stack"), (45.0, 4.6, 4.6))
    >>> verify(sign(grant, b"our key"), b"our key") == grant, verify(sign(grant, b"theirs"), b"our key")
    (True, None)
    """
    body, _, signature = capability.partition(".")
    if not capability.isascii() or not hmac.compare_digest(signature, _signature(body.encode(), key)):
        return None
    try:
        folder, voxel_size_nm, model, box = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (NotBase64, ValueError):  # signed, but by another version of emkit
        return None
    return Grant(Path(folder), tuple(voxel_size_nm) if voxel_size_nm else None, Path(model) if model else None, box)


def _signature(body: bytes, key: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(key, body, hashlib.sha256)).rstrip(b"=").decode()
