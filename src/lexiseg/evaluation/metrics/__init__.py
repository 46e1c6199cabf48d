"""The official figures: panoptic quality, mean IoU, mask AP."""
