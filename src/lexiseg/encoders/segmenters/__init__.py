"""Mask2Former and MaskFormer: the gate to transformers."""
