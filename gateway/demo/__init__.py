"""`gateway demo`: the whole system with a simulated fleet, reconciled at the end."""
