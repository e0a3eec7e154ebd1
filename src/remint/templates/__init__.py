"""What `remint init` writes; the one source of it."""
