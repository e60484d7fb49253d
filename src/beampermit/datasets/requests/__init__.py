"""`dataset.request` of the contract: fetch the data into one Parquet table with a sidecar."""
