"""What evaluates the soups of a search: in this process, in others, on other machines."""
