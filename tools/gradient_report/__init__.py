"""The report of analyze_gradients: figures, and annotations that the model contradicts."""
