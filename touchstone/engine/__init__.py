"""Tekton Pipelines semantics as local processes: the embedded twin of the controller."""
