"""A small world of stories, told and read back."""
