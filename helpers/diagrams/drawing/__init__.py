"""The card, what is drawn on it, and what moves it."""
