"""First process of a server's job: picks a free port, tells it to the hub, and becomes the server.

    python -m emkit_spawner.singleuser COMMAND [ARGUMENT ...]

Reads JupyterHub's own environment variables and EMKIT_JOB. Where the user's home or settings keep a server from starting, it
becomes one that does without them (`emkit_spawner.rescue`). Standard library only, since it stands before every start.
"""

import json
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from emkit_spawner import certificates, rescue

PATIENCE_S = 300.0  # a hub that is restarting just now answers again


def free_port(host: str) -> int:
    """A port that nobody uses on `host` at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def hub_certificates() -> ssl.SSLContext | None:
    """The context for a hub with `internal_ssl`; None for one without."""
    if "JUPYTERHUB_SSL_CERTFILE" not in os.environ:
        return None
    context = ssl.create_default_context(cafile=os.environ["JUPYTERHUB_SSL_CLIENT_CA"])
    context.load_cert_chain(os.environ["JUPYTERHUB_SSL_CERTFILE"], os.environ["JUPYTERHUB_SSL_KEYFILE"])
    return context


def report(port: int) -> None:
    """Tell the hub. SystemExit with the hub's words when it refuses, or when it does not answer for PATIENCE_S."""
    url = os.environ["JUPYTERHUB_API_URL"].rstrip("/") + "/emkit/job"
    headers = {"Authorization": f"token {os.environ['JUPYTERHUB_API_TOKEN']}", "Content-Type": "application/json"}
    body = json.dumps({"job": os.environ["EMKIT_JOB"], "port": port}).encode()
    # never through a proxy of the environment: the hub is near, and the request holds the job's token
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if (context := hub_certificates()) is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    opener = urllib.request.build_opener(*handlers)
    last, wait_s = time.monotonic() + PATIENCE_S, 0.2
    while True:
        try:
            opener.open(urllib.request.Request(url, body, headers), timeout=30).close()
            return
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            if error.code < 500:
                raise SystemExit(f"The hub refused this job's report: {error.code} {text}") from error
            reason = f"{error.code} {text}"
        except OSError as error:
            reason = str(error)
        if time.monotonic() > last:
            raise SystemExit(f"The hub at {url} does not answer ({reason}), after {PATIENCE_S:.0f} s.")
        print(f"The hub at {url} does not answer yet ({reason}): trying again in {wait_s:.1f} s.", file=sys.stderr, flush=True)
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, 5.0)


def main(command: list[str]) -> None:
    if not command:
        raise SystemExit("usage: python -m emkit_spawner.singleuser COMMAND [ARGUMENT ...]")
    if certificates.VARIABLES["JUPYTERHUB_SSL_KEYFILE"] in os.environ:
        certificates.unpack(os.environ, rescue.scratch())
    if why := rescue.reason(os.environ):
        print(f"Starting without the user's own settings. {why}", file=sys.stderr, flush=True)
        folder = rescue.scratch()
        changed = rescue.environment(why, os.environ, folder)
        os.environ.clear()
        os.environ.update(changed)
        os.chdir(folder)  # Python and Jupyter read files of the folder that they start in
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    host = url.hostname or "127.0.0.1"
    port = free_port(host)
    report(port)
    shown = f"[{host}]" if ":" in host else host
    os.environ["JUPYTERHUB_SERVICE_URL"] = urlunsplit(url._replace(netloc=f"{shown}:{port}"))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
