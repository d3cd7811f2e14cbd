"""The checks of what moves a router's bias."""
