"""What is remembered of runs and events, and how it reads."""
