"""Official OVSeg weights and what tells that they were read rightly."""
