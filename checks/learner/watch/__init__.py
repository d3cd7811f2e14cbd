"""A lesson's notebook is checked again whenever it is saved, in a terminal beside any editor."""
