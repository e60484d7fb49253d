"""`dataset.request` of the contract, answered: one Parquet table, and beside it what was asked and what was found."""
