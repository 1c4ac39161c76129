"""Mitigations of the training data."""
