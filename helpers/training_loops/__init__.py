"""Training: the loops, the optimiser, what balances the load."""
