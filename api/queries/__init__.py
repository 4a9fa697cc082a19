"""The SQL behind the resources: one file a table family, each query under its name."""
