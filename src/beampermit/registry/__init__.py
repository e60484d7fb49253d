"""The ledger on a git ref, the registry that is its view, and what moves them: promote, rollback, reconcile."""
