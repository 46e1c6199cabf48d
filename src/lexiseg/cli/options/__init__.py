"""What can be typed after each command: a dataclass for each. Nothing here may import anything heavy."""
