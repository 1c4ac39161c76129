"""Mitigations of the loss."""
