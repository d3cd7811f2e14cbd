"""What serves a learner beside the checks: carrying, validating, exporting."""
