"""What is fast, measured: `python -m benchmarks dispatch` or `python -m benchmarks decode`."""
