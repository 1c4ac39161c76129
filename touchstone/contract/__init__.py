"""touchstone.yaml: what a model repository declares."""
