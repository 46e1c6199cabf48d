"""Every table, figure and claim of the papers, tried by one command on drawn or real data."""
