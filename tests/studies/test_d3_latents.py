"""What D3 claims of a cache's size and the loss, over seeds."""
