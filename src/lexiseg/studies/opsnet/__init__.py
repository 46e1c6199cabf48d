"""OPSNet's tables and claims O1 to O17."""
