"""The built-in evaluator: questions and texts of JSON Lines, scored by the live model."""
