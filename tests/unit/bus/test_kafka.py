"""Kafka's errors in the project's words."""

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidSessionTimeoutError,
    InvalidTimestampError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from confluent_kafka import KafkaError, KafkaException

from bus.errors import BrokerUnavailable
from bus.kafka import told_plainly
from bus.settings import KafkaSettings


@pytest.mark.parametrize("error", [InvalidTimestampError(), KafkaException(KafkaError(KafkaError.INVALID_TIMESTAMP))])
def test_record_from_the_future_names_the_clock_whichever_client_sent_it(error):
    with pytest.raises(BrokerUnavailable, match="clock here is more than an hour ahead"), told_plainly(KafkaSettings()):
        raise error


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (TopicAuthorizationFailedError("city.resident.identity"), "READ or WRITE on the topic"),
        (GroupAuthorizationFailedError("city.replica"), "READ on the group"),
        (SaslAuthenticationFailed(), "sasl_username and sasl_password"),
        (InvalidSessionTimeoutError(), "group.min.session.timeout.ms"),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), "READ or WRITE on the topic"),
        (KafkaException(KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)), "on the transactional id"),
        (KafkaException(KafkaError(KafkaError._AUTHENTICATION)), "sasl_username"),
        (KafkaConnectionError("no bootstrap server"), "check that it runs and the address is right"),
    ],
)
def test_what_is_refused_is_told_with_what_mends_it(error, remedy):
    with pytest.raises(BrokerUnavailable, match=remedy), told_plainly(KafkaSettings()):
        raise error
