"""Reading: records from Kafka to frames of events, the row way and the columnar way."""
