"""`gateway demo`: the whole system with a simulated fleet and a DR event, reconciled at the end."""
