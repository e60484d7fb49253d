"""The ledger on a git ref, the registry that shows it, and what changes them: promote, rollback, reconcile."""
