import java.nio.ByteBuffer;
import java.nio.file.*;
import org.apache.kafka.common.compress.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.internal.*;

/** Writes one batch per codec, an idempotent and a transactional one and two markers, with Kafka's own classes. */
public class Batches {
    static final long TIME = 1700000000000L;

    static SimpleRecord[] records() {
        Header[] headers = {new RecordHeader("h1", "x".getBytes()), new RecordHeader("h2", null), new RecordHeader("", new byte[0])};
        return new SimpleRecord[] {
            new SimpleRecord(TIME, "k0".getBytes(), "v0".getBytes()),
            new SimpleRecord(TIME + 5, null, "no key".getBytes()),
            new SimpleRecord(TIME - 7, "tombstone".getBytes(), null),
            new SimpleRecord(TIME + 3, "k3".getBytes(), "with headers".getBytes(), headers),
            new SimpleRecord(TIME + 1000, new byte[0], "0123456789".repeat(10000).getBytes()),
        };
    }

    static void write(Path dir, String name, MemoryRecords records) throws Exception {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(dir.resolve(name + ".bin"), bytes);
    }

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        SimpleRecord[] few = java.util.Arrays.copyOf(records(), 4);
        write(dir, "none", MemoryRecords.withRecords(Compression.NONE, few));
        for (String codec : new String[] {"gzip", "snappy", "lz4", "zstd"})
            write(dir, codec, MemoryRecords.withRecords(Compression.of(codec).build(), records()));
        write(dir, "idempotent", MemoryRecords.withIdempotentRecords(1000, Compression.NONE, 4711, (short) 3, 42, 7, few));
        write(dir, "transactional", MemoryRecords.withTransactionalRecords(1000, Compression.zstd().build(), 4711, (short) 3, 42, 7, few));
        write(dir, "commit", MemoryRecords.withEndTransactionMarker(1004, TIME, 7, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.COMMIT, 12)));
        write(dir, "abort", MemoryRecords.withEndTransactionMarker(1005, TIME, 7, 4711, (short) 3, new EndTransactionMarker(ControlRecordType.ABORT, 13)));
    }
}
