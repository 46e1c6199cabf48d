"""Trainings of CLIP: contrastive, grounded in cells, adapted to masked crops."""
