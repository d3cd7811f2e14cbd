"""What the reference needs: layers, configurations, checkpoints, published sizes."""
