"""Past runs and runs in progress: the history, and two of them compared."""
