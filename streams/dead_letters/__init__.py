"""Dead letters: their index in PostgreSQL and their replay through Kafka."""
