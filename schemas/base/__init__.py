"""Access roles, errors, rejection reasons and the time window that all other schemas build on."""
