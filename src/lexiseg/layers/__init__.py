"""Network layers and scoring functions: heads, pooling, modulation, ensemble, mask prompts."""
