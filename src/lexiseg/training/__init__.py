"""Floor 6: losses, the loop, recipes."""
