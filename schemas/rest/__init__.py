"""What the REST API takes and gives: one file a resource. camelCase on the wire, kW, UTC."""
