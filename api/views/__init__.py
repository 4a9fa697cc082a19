"""Rows as REST shows them: one file a resource."""
