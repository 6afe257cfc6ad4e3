"""Coefficients fitted by gradients, with one model in memory."""
