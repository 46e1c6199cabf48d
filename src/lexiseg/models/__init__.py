"""Floor 3: whole models and what becomes of their answers."""
