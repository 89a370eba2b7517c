"""Tables of trainings: their rows, the runner that trains them, their logs and figures."""
