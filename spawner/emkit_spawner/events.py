"""Log lines that programs can read: one JSON object behind the word `emkit`, each with its spawn's id, the job's name.

Whatever a person typed stands in it as a JSON string, so nothing can end a line early or begin another.
"""

import json
import logging


def tell(log: logging.Logger, event: str, spawn: str, **values: object) -> None:
    """Log `emkit {"event": …, "spawn": …, …}`. Seconds carry the suffix `_s`."""
    shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
    log.info("emkit %s", json.dumps({"event": event, "spawn": spawn, **shown}, default=str))
