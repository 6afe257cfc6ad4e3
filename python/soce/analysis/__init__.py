"""What a soup did to scores, and what each ingredient is worth: tables and outcomes in, results out."""
