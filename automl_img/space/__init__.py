"""What can vary: dimensions, the space they span, and presets of it."""
