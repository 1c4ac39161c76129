"""The embedded platform: the other rooms wired together in one process."""
