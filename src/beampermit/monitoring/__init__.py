"""Watches a model in service: windows of the prediction log against their reference, trip rules, and responses."""
