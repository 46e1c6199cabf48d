"""Floor 0: values, vocabulary, pictures."""
