"""What a machine has and lacks for the course, a line each. Scripts: nothing else is imported."""
