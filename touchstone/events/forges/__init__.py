"""What does a forge's delivery tell? One file a forge, one shape for all: `Event`."""
