"""Post-processing of predictions: panoptic and semantic maps, instances, paths down a taxonomy."""
