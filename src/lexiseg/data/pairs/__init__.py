"""Pairs of masked crops and words on disk."""
