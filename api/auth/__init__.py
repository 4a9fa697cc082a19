"""Who may use the API: API keys, bearer tokens, roles, rate limits and the audit."""
