"""Tekton's small languages: $(...), params, matrix, when, durations, order."""
