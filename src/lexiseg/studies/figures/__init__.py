"""Figures 3, 4 and 5 of OPSNet, and the charts of all results."""
