"""Encoders: CLIP (open_clip), mask segmenters (transformers) and text embeddings. Only here are both imported."""
