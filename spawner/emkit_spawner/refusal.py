"""Why a server does not start, in the three places where a person may read it: the API's answer, the progress, the hub's pages."""

import html

from jupyterhub.spawner import SpawnException


class StartRefused(SpawnException):
    """A start that cannot be. Lines after the first are shown as a log. `reason`: a word for the hub's metrics."""

    def __init__(self, text: str, *, reason: str, status_code: int = 400) -> None:
        first, _, log = text.partition("\n")
        shown = html.escape(first) + (f'<pre class="log-tail">{html.escape(log)}</pre>' if log else "")
        super().__init__(text, reason=reason, message_html=shown, status_code=status_code)
        # JupyterHub 6.1 fills its error page from the fields above, but its progress and "not running" page from these two
        self.jupyterhub_message = text
        self.jupyterhub_html_message = shown
