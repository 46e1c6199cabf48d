"""Data sets: their contract, formats, catalogue and training samples."""
