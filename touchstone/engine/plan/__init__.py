"""What a run is to do, with all that it was given and refers to."""
