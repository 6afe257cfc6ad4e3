"""What rows and columns of a grid are: models, categories, and what is about them."""
