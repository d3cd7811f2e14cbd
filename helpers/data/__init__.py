"""Texts, tokens and batches."""
