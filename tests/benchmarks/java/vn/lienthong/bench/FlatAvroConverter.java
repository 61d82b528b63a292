package vn.lienthong.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema.Type;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.storage.Converter;

/**
 * Turns an event of a register, in Confluent's frame, into the flat row that a JDBC sink writes: the state's fields and
 * the version.
 *
 * <p>As fast as Connect allows: the one schema is read once from a file ({@code schema.file}, released under
 * {@code schema.id}), there is no registry and no generic record in between, and whatever the row does not need is
 * skipped as bytes.
 */
public final class FlatAvroConverter implements Converter {
    private static final int PREFIX_BYTES = 5;
    private static final long DAY_MS = 86_400_000L;

    private final ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();
    private int schemaId;
    private Schema row;
    private List<Reader> readers;

    /** Reads one Avro value and puts it into the row, or skips it. */
    private interface Reader {
        void read(BinaryDecoder in, Struct row) throws IOException;
    }

    /** Reads one Avro value as Connect wants it. */
    private interface Value {
        Object read(BinaryDecoder in) throws IOException;
    }

    @Override
    public void configure(Map<String, ?> settings, boolean isKey) {
        schemaId = Integer.parseInt(settings.get("schema.id").toString());
        org.apache.avro.Schema event = parse(Path.of(settings.get("schema.file").toString()));
        org.apache.avro.Schema state = event.getField("state").schema().getTypes().get(1);
        SchemaBuilder builder = SchemaBuilder.struct().field("_version", Schema.INT64_SCHEMA);
        for (org.apache.avro.Schema.Field field : state.getFields()) {
            builder.field(field.name(), connectSchema(field.schema()));
        }
        row = builder.build();
        readers = new ArrayList<>();
        for (org.apache.avro.Schema.Field field : event.getFields()) {
            readers.add(switch (field.name()) {
                case "version" -> put(row.field("_version"), BinaryDecoder::readLong);
                case "state" -> state(state);
                default -> skip(field.schema());
            });
        }
    }

    @Override
    public SchemaAndValue toConnectData(String topic, byte[] message) {
        if (message == null) {
            return SchemaAndValue.NULL;
        }
        checkPrefix(message);
        BinaryDecoder in =
                DecoderFactory.get().binaryDecoder(message, PREFIX_BYTES, message.length - PREFIX_BYTES, decoders.get());
        decoders.set(in);
        Struct found = new Struct(row);
        try {
            for (Reader reader : readers) {
                reader.read(in, found);
            }
        } catch (IOException error) {
            throw new DataException("not an event of this schema", error);
        }
        return new SchemaAndValue(row, found);
    }

    @Override
    public byte[] fromConnectData(String topic, Schema schema, Object value) {
        throw new DataException("this converter only reads");
    }

    private void checkPrefix(byte[] message) {
        int id = (message[1] & 0xFF) << 24 | (message[2] & 0xFF) << 16 | (message[3] & 0xFF) << 8 | message[4] & 0xFF;
        if (message[0] != 0 || id != schemaId) {
            throw new DataException("another schema than " + schemaId);
        }
    }

    private static org.apache.avro.Schema parse(Path file) {
        try {
            return new org.apache.avro.Schema.Parser().parse(Files.readString(file));
        } catch (IOException error) {
            throw new DataException("cannot read the schema", error);
        }
    }

    private Reader state(org.apache.avro.Schema state) {
        List<Reader> fields = new ArrayList<>();
        for (org.apache.avro.Schema.Field field : state.getFields()) {
            fields.add(put(row.field(field.name()), value(field.schema())));
        }
        return (in, found) -> {
            if (in.readIndex() == 0) {
                throw new DataException("only events with a state are measured");
            }
            for (Reader field : fields) {
                field.read(in, found);
            }
        };
    }

    private static Reader put(Field field, Value value) {
        return (in, found) -> found.put(field, value.read(in));
    }

    private static Reader skip(org.apache.avro.Schema schema) {
        return switch (schema.getType()) {
            case STRING -> (in, found) -> in.skipString();
            case ENUM -> (in, found) -> in.readEnum();
            case LONG -> (in, found) -> in.readLong();
            case UNION -> {
                Reader inner = skip(schema.getTypes().get(1));
                yield (in, found) -> {
                    if (in.readIndex() == 1) {
                        inner.read(in, found);
                    }
                };
            }
            default -> throw new DataException("the envelope has no " + schema.getType());
        };
    }

    private static Value value(org.apache.avro.Schema schema) {
        return switch (schema.getType()) {
            case STRING -> BinaryDecoder::readString;
            case LONG -> BinaryDecoder::readLong;
            case BOOLEAN -> BinaryDecoder::readBoolean;
            case DOUBLE -> BinaryDecoder::readDouble;
            case INT -> isDate(schema) ? in -> new java.util.Date(in.readInt() * DAY_MS) : BinaryDecoder::readInt;
            case UNION -> {
                Value inner = value(schema.getTypes().get(1));
                yield in -> in.readIndex() == 0 ? null : inner.read(in);
            }
            default -> throw new DataException("not a flat field: " + schema);
        };
    }

    private static Schema connectSchema(org.apache.avro.Schema schema) {
        boolean optional = schema.getType() == Type.UNION;
        org.apache.avro.Schema inner = optional ? schema.getTypes().get(1) : schema;
        SchemaBuilder builder = switch (inner.getType()) {
            case STRING -> SchemaBuilder.string();
            case LONG -> SchemaBuilder.int64();
            case BOOLEAN -> SchemaBuilder.bool();
            case DOUBLE -> SchemaBuilder.float64();
            case INT -> isDate(inner) ? Date.builder() : SchemaBuilder.int32();
            default -> throw new DataException("not a flat field: " + inner);
        };
        return optional ? builder.optional().build() : builder.build();
    }

    private static boolean isDate(org.apache.avro.Schema schema) {
        return schema.getLogicalType() != null && schema.getLogicalType().getName().equals("date");
    }
}
