"""Recipes: functions that each return all that decides a training, as one frozen dataclass."""
