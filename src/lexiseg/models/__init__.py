"""Models, their presets, and post-processing of their predictions."""
