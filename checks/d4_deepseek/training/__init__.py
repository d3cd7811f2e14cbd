"""The checks of D4.3a and D4.3b: the loss and the training."""
