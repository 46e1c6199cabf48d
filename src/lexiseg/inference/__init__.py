"""Floor 6: what is called from Python: predictor, result, pictures."""
