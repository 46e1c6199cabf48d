"""Official FC-CLIP checkpoints: reading, writing and verifying them."""
