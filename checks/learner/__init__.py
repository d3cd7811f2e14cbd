"""What serves a learner beside the checks: parts carried on, notebooks validated, a model exported."""
