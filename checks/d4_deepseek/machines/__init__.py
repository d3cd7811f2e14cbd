"""The checks of D4.I3: experts on several machines."""
