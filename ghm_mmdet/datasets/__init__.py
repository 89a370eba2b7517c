"""Checks of data sets, and how their pictures are loaded."""
