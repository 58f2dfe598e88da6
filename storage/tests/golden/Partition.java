import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Fills one partition of a running broker: each codec, idempotent and transactional producers, commits and aborts. */
public class Partition {
    static Map<String, Object> config(String servers, String codec) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", servers);
        config.put("compression.type", codec);
        config.put("key.serializer", ByteArraySerializer.class);
        config.put("value.serializer", ByteArraySerializer.class);
        return config;
    }

    static void send(KafkaProducer<byte[], byte[]> producer, int n, String tag) {
        for (int i = 0; i < n; i++)
            producer.send(new ProducerRecord<>("golden", 0, 1700000000000L + i, ("k" + i).getBytes(), (tag + " " + i).getBytes()));
        producer.flush();
    }

    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            admin.createTopics(List.of(new NewTopic("golden", 1, (short) 1))).all().get();
        }
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"})
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config(args[0], codec))) {
                send(producer, 3, codec);
                send(producer, 20, codec);
            }
        Map<String, Object> a = config(args[0], "none"), b = config(args[0], "lz4");
        a.put("transactional.id", "a");
        b.put("transactional.id", "b");
        try (KafkaProducer<byte[], byte[]> first = new KafkaProducer<>(a); KafkaProducer<byte[], byte[]> second = new KafkaProducer<>(b)) {
            first.initTransactions();
            second.initTransactions();
            first.beginTransaction();
            second.beginTransaction();
            send(first, 2, "aborted");
            send(second, 4, "committed");
            first.abortTransaction();
            second.commitTransaction();
            second.beginTransaction();
            send(second, 3, "aborted too");
            first.beginTransaction();
            send(first, 1, "committed");
            first.commitTransaction();
            second.abortTransaction();
            first.beginTransaction();
            send(first, 2, "left open");
            Runtime.getRuntime().halt(0);
        }
    }
}
