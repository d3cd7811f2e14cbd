"""A class of learners made from the bank of answers, and how long grading it takes."""
