"""Attacks on classifiers in plain PyTorch, batched: broken samples leave the batch at once.

Importing its modules imports torch: only from inside functions.
"""
