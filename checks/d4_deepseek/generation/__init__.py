"""The checks of D4.3c and D4.3d: a token drawn, and a text."""
