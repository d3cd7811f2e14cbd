"""Released checkpoints: their configuration, their files, and their weights under our names."""
