"""How an answer is graded: a check, its stages, what they may expect, and what is said of it."""
