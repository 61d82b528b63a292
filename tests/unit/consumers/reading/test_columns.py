from hypothesis import given

from tests.unit.consumers.reading.generated import DAMAGES, Stream, assert_same, examples, streams


@examples(150)
@given(streams(wild=False))
def test_clean_streams_of_any_register_read_the_same_as_columns(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)


@examples(150)
@given(streams())
def test_extreme_values_read_the_same_as_columns(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)


@examples(200)
@given(streams(DAMAGES))
def test_damaged_streams_park_the_same_records_as_columns(stream: Stream) -> None:
    assert_same(stream.reading, stream.records)
