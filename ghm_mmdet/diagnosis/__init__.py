"""What the losses of a detector see: counts, curves, figures, the report and the live hook."""
