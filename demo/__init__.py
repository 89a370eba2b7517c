"""A first look: sample data, a training of a few minutes, the method in pictures."""
