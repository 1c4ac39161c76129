"""Data without code: a CSV or Parquet file, and the column of it that a model is to tell."""
