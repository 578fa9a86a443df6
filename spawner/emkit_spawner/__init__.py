"""A JupyterHub spawner whose servers are jobs: the class API and `req_*` traits of batchspawner, with our own commands and states."""
