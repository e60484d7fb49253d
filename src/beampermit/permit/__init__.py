"""The permit: a signed statement that binds commit, environment, data, contract, model bytes and all verdicts."""
