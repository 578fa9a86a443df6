"""`python -m emkit_hub.dashboards`, started by the hub with the site's settings in the environment."""

import logging
import os
import sys

from pydantic import ValidationError

from emkit_hub.dashboards.app import serve
from emkit_hub.dashboards.settings import ENVIRONMENT_VARIABLE, DashboardSettings

if __name__ == "__main__":
    logging.basicConfig(format="[%(levelname).1s %(asctime)s %(name)s] %(message)s", level=logging.INFO)
    logging.getLogger("tornado.access").setLevel(logging.WARNING)  # addresses carry capabilities
    logging.getLogger("tornado.general").setLevel(
        logging.ERROR
    )  # it takes jupyter_server's milliseconds for seconds, at each connection
    try:
        settings = DashboardSettings.model_validate_json(os.environ.get(ENVIRONMENT_VARIABLE, "{}"))
    except ValidationError as error:
        sys.exit(f"{ENVIRONMENT_VARIABLE} does not hold the settings of the dashboards: {error}")
    serve(settings)
