"""The live model: transformers loads it once, and it becomes any soup in place."""
