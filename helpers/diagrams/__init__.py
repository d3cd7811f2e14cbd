"""Drawings of how the parts work together, made from real numbers."""
