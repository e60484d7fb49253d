"""The whole loop, played for real on one machine: `beampermit demo`."""
