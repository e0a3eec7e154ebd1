"""``scripts/demo``: the whole story on one machine. It calls the product's own commands and decides nothing itself."""
