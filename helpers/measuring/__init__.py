"""What is measured: traffic, memory, time, stories, a converted attention."""
