"""The hub: settings, configuration, pages and services. It imports neither emkit nor the spawner."""
