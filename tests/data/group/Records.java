import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.group.generated.*;

/** Prints one record of __consumer_offsets a line, as Kafka's own classes write it: a name, the key, the value. */
public class Records {
    public static void main(String[] args) {
        for (short version = 0; version <= 4; version++) {
            OffsetCommitKey key = new OffsetCommitKey().setGroup("grüppe").setTopic("topic-1").setPartition(7);
            print("offset-v" + version, key, (short) 1, offset(version), version);
            print("group-v" + version, new GroupMetadataKey().setGroup("grüppe"), (short) 2, group(), version);
        }
        OffsetCommitKey old = new OffsetCommitKey().setGroup("g").setTopic("t").setPartition(0);
        print("offset-key-v0", old, (short) 0, offset((short) 3), (short) 3);
        OffsetCommitValue named = offset((short) 4).setTopicId(Uuid.fromString("AAECAwQFBgcICQoLDA0ODw"));
        print("offset-topic-id", old, (short) 1, named, (short) 4);
        print("offset-gone", old, (short) 1, null, (short) 0);
        GroupMetadataValue empty = new GroupMetadataValue().setProtocolType("consumer").setGeneration(9)
            .setProtocol(null).setLeader(null).setCurrentStateTimestamp(1700000000123L).setMembers(List.of());
        print("group-empty", new GroupMetadataKey().setGroup("g"), (short) 2, empty, (short) 3);
        print("group-gone", new GroupMetadataKey().setGroup("g"), (short) 2, null, (short) 0);
        print("consumer-group", new ConsumerGroupMetadataKey().setGroupId("g"), (short) 3,
            new ConsumerGroupMetadataValue().setEpoch(4), (short) 0);
    }

    static OffsetCommitValue offset(short version) {
        OffsetCommitValue value = new OffsetCommitValue().setOffset(1234567890123L).setMetadata("mëta")
            .setCommitTimestamp(1700000000000L);
        if (version == 1) value.setExpireTimestamp(1700000086400L);
        if (version >= 3) value.setLeaderEpoch(5);
        return value;
    }

    static GroupMetadataValue group() {
        GroupMetadataValue.MemberMetadata member = new GroupMetadataValue.MemberMetadata().setMemberId("m-1")
            .setGroupInstanceId("i").setClientId("c").setClientHost("/10.0.0.1").setRebalanceTimeout(60000)
            .setSessionTimeout(10000).setSubscription(new byte[] {0, 1, 2}).setAssignment(new byte[] {3});
        GroupMetadataValue.MemberMetadata other = new GroupMetadataValue.MemberMetadata().setMemberId("m-2")
            .setClientId("").setClientHost("/::1").setRebalanceTimeout(1).setSessionTimeout(2)
            .setSubscription(new byte[0]).setAssignment(new byte[0]);
        return new GroupMetadataValue().setProtocolType("consumer").setGeneration(3).setProtocol("range")
            .setLeader("m-1").setCurrentStateTimestamp(1700000000123L).setMembers(List.of(member, other));
    }

    static void print(String name, Message key, short keyVersion, Message value, short version) {
        String text = value == null ? "-" : hex(value, version);
        System.out.println(name + " " + hex(key, keyVersion) + " " + text);
    }

    static String hex(Message message, short version) {
        ByteBuffer bytes = MessageUtil.toVersionPrefixedByteBuffer(version, message);
        byte[] out = new byte[bytes.remaining()];
        bytes.get(out);
        return HexFormat.of().formatHex(out);
    }
}
