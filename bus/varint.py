"""Numbers in zigzag coding, as Kafka's records and Avro write them: seven bits a byte, the lowest first."""

MOST_BYTES = 10  # a number of 64 bits


def written(number: int) -> bytes:
    """Of more than 64 bits too, which no reader takes."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    found = bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def read(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises IndexError where the data ends before, ValueError where it is too long."""
    byte = data[at]
    number, shift = byte & 0x7F, 7
    while byte > 0x7F:
        at += 1
        if shift == MOST_BYTES * 7:
            raise ValueError("a number of more than 64 bits")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at + 1
