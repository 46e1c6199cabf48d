"""Mask2Former and MaskFormer on top of transformers."""
