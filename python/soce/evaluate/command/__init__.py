"""Any program as an evaluator: soups are written for it, and the scores it leaves are read."""
