"""A JupyterHub spawner whose servers are jobs: batchspawner's class API and `req_*` traits, our own commands and states."""
