"""Measured speed: `python -m benchmarks dispatch` or `python -m benchmarks decode`."""
