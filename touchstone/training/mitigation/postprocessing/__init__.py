"""Mitigations of the answers: each a rule from a group's score to its decision."""
