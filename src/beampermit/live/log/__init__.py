"""The prediction log: what was served, row by row, in Parquet files that anybody can read."""
