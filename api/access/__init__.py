"""Who may use the API: keys, tokens, roles, rates, and the record of what was done."""
