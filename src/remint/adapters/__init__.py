"""I/O and nothing else: one module for each outside thing, thin enough to read in one go."""
