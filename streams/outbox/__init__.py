"""The transactional outbox: publishes committed database changes to Kafka."""
