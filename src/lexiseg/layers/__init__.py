"""Floor 1: the parts of the models."""
