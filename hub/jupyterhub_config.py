from emkit_hub.config import configure

configure(get_config())  # type: ignore[name-defined]  # noqa: F821  # JupyterHub's own name
