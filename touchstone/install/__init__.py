"""Touchstone on a cluster: what is there, what would be made, made, kept apart, and taken away."""
