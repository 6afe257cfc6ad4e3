"""What may be said of a difference between two models that were scored on the same items."""
