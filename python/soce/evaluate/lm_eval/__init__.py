"""Tasks of lm-evaluation-harness, scored by the live model in this process."""
