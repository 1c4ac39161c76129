"""What a Pod is on this machine: images, volumes, processes, steps and sidecars."""
