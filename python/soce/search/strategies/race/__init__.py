"""Racing: all soups of the grid on a growing part of the items, with a certificate for the winner."""
