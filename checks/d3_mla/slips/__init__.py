"""What likely slips make of the parts of latent attention, by the question each calls for."""
