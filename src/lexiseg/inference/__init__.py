"""Segmenting pictures from Python: predictor, results, overlays and result files."""
