"""Another service of the same hub: it shows a guest the token that the hub gave it for them."""

import os
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import ioloop, web


class Token(HubOAuthenticated, web.RequestHandler):
    """Answers with the guest's token for this service."""

    @web.authenticated
    def get(self) -> None:
        self.write({"token": self.hub_auth.get_token(self)})


if __name__ == "__main__":
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    routes = [(prefix, Token), (prefix + "oauth_callback", HubOAuthCallbackHandler)]
    web.Application(routes, cookie_secret=os.urandom(32)).listen(
        urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port or 0, "127.0.0.1"
    )
    ioloop.IOLoop.current().start()
