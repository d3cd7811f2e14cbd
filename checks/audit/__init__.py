"""The proof of the checks: right and wrong answers to every exercise, and the verdicts on them."""
