"""What losses see and do: gradient norms, who moves a model, label errors, runs compared."""
