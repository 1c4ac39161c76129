"""Webhooks and CloudEvents in: the embedded twin of the Tekton Triggers EventListener."""
