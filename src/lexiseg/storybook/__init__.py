"""The drawn world: children's-book scenes with exact masks, captions and labels, from a seed."""
