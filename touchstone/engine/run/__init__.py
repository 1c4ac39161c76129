"""Runs as they go: schedule, steps, statuses, the cache."""
