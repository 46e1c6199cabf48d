"""Model folders, checkpoints, and import of official weights."""
