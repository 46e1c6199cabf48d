"""Floor 5: metrics and reports."""
