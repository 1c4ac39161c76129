"""The pipeline's stages: one module a Tekton Task, `python -m scripts.<stage>`."""
