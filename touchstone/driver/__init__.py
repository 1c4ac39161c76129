"""Tuning and training jobs: build the specification, launch, follow, clean up."""
