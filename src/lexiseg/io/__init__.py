"""Floor 4: model folders and checkpoints."""
