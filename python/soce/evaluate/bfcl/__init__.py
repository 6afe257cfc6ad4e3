"""The Berkeley Function Calling Leaderboard, run for real on a served model, scored by its own checkers."""
