"""The learner's files: where they lie, the progress kept among them, a notebook as it was saved."""
