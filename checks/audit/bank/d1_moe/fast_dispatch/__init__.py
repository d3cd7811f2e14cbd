"""Answers to D1.O1 fast_dispatch."""
