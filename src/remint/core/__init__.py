"""The pure core: no I/O, clock, randomness, environment or logging. What it needs comes in as arguments."""
