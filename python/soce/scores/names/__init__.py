"""What the names of models, categories and columns say."""
