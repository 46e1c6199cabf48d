"""Floor 1: data sets, read and drawn."""
