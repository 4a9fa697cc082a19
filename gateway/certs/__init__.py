"""`gateway certs`: a private CA, certificates for broker, bridge and VENs, and the passwords of compose.yaml."""
