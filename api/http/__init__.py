"""The HTTP server itself: limits, headers, problem documents, metrics and connection pools."""
