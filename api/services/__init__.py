"""What routers and the feed share: work that is more than one query, and tasks beside the requests."""
