"""From samples on disk to what a training step takes."""
