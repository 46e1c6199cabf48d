"""Floor 2: the only gates to transformers and open_clip, and words to vectors."""
