"""The permit: what binds commit, environment, data, contract, model bytes and all verdicts, and who signed it."""
