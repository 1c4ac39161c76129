"""Tekton's YAML read as Tekton reads it, from files and from elsewhere."""
