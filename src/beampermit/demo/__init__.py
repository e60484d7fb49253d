"""The whole life of a model on one machine: `beampermit demo`."""
