"""What the check of the latent cache appends, how it looks at what comes back, and what it asks."""
