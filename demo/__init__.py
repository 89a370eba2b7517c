"""A first look: sample data, two trainings of a few minutes, the method in pictures."""
