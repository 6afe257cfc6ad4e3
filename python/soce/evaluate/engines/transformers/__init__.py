"""transformers as a serving engine: one process with the live model, and a small server for it."""
