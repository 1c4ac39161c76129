"""A cluster that runs the pipeline: its API, what it knows of runs, and what is kept of them."""
