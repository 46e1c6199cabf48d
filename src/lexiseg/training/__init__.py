"""Trains models: losses, the loop, recipes."""
