"""Trainings of segmenters: closed-set, OPSNet, OPSNet+, OVSeg, fine-tuning."""
