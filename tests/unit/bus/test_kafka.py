"""Kafka's errors in the project's words."""

import pytest
from aiokafka.errors import InvalidTimestampError
from confluent_kafka import KafkaError, KafkaException

from bus.errors import BrokerUnavailable
from bus.kafka import told_plainly
from bus.settings import KafkaSettings


@pytest.mark.parametrize("error", [InvalidTimestampError(), KafkaException(KafkaError(KafkaError.INVALID_TIMESTAMP))])
def test_record_from_the_future_names_the_clock_whichever_client_sent_it(error):
    with pytest.raises(BrokerUnavailable, match="clock here is more than an hour ahead"), told_plainly(KafkaSettings()):
        raise error
