"""Caption mining (OVSeg, section 3.2)."""
