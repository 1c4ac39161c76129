"""A cluster that runs the pipeline: its API, what it knows of runs, and the recorder that keeps it."""
