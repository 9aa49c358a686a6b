"""What the UI asks: each dialog is a modal screen that is dismissed with its answer, None where there is none."""
