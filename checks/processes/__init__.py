"""Processes that run a learner's code together, as the machines of a cluster would."""
