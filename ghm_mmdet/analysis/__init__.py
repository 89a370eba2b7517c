"""Looking at what the losses see: gradient-norm histograms, figures, drawn detections."""
