"""Forms in which words are written: entries of a vocabulary, lists of synsets, and WordNet's own files."""
