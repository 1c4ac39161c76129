"""Content-addressed store: what a stage reads and writes, named by its digest."""
