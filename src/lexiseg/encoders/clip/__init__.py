"""CLIP: the gate to open_clip."""
