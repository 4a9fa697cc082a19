"""`gateway migrate` and `gateway topics`: bring the database and Kafka up to date."""
