"""Liên thông's shared core: words, events, schemas, registry, Kafka. It knows neither producers nor consumers."""
