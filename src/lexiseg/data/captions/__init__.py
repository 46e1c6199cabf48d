"""Captions, and the nouns in them."""
