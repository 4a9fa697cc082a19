"""`gateway bridge`, `gateway streams` and `gateway api`: the processes of the product."""
