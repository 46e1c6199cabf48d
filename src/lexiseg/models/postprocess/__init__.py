"""What becomes of a model's answer: a panoptic map, classes of pixels, instances, a place in a taxonomy."""
