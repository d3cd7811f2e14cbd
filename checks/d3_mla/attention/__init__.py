"""The checks of attention through latents: one step, the whole layer, and the absorbed decode."""
