"""What a wrong value looks like beside the right one, put as a question."""
