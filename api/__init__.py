"""REST for dashboards and operators."""
