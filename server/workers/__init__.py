"""The loops of the worker, one a file: `run_once(database, stopping) -> how many of what`."""
