"""The learner's notebooks brought up to date, or begun anew, with a backup of what was there."""
