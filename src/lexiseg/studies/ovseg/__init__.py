"""OVSeg, SimBaseline and ZegFormer: their tables and claims, tried by adapting one CLIP in many ways."""
