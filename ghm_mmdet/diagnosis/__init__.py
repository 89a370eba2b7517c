"""Counts of the examples that losses receive, their figure, and the hook that logs both."""
