"""Where work runs: units of work, and what performs them here or on a cluster."""
