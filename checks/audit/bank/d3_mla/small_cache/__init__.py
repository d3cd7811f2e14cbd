"""Answers to D3.O1 SmallCache."""
