"""Data to model: the contract of a model repository's Python file, the trainer and its exports."""
