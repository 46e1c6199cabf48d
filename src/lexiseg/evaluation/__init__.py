"""Measures predictions: metrics, evaluations, reports."""
