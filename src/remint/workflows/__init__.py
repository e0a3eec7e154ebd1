"""Logic that ties the core to the adapters: one module a command, below the command line."""
