"""`python -m emkit_hub.overview`, started by the hub with the site's settings in the environment."""

import asyncio
import logging
import os
import sys

from pydantic import ValidationError

from emkit_hub.overview.app import serve
from emkit_hub.overview.settings import ENVIRONMENT_VARIABLE, Service

if __name__ == "__main__":
    logging.basicConfig(format="[%(levelname).1s %(asctime)s %(name)s] %(message)s", level=logging.INFO)
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    logging.getLogger("tornado.application").setLevel(logging.WARNING)  # JupyterHub tells there of every page it lets pass
    try:
        service = Service.model_validate_json(os.environ.get(ENVIRONMENT_VARIABLE, "{}"))
    except ValidationError as error:
        sys.exit(f"{ENVIRONMENT_VARIABLE} does not hold the settings of the overview: {error}")
    asyncio.run(serve(service))
