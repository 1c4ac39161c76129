"""The program that starts processes; run as a folder, `python launcher FD`, never imported."""
