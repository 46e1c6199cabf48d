"""CLIP models on top of open_clip."""
