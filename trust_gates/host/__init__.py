"""A model that runs in a process of its own: what the gates hold of it, and what they say to it.

`client` asks and differentiates through the answers; `protocol` is what both sides speak. The other
side, which loads a model repository's code, is `touchstone.training.host`.
"""
