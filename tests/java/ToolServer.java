import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Kafka's tools one after the other in one JVM, because starting a JVM for each takes longer
 * than what it does.
 *
 * <p>Request on stdin: a list of strings (class, arguments...) and a string for the tool's stdin. Reply on stdout: exit
 * status, the tool's stdout, its stderr. Lists and strings begin with their length, all numbers are big-endian 32 bits.
 */
public final class ToolServer {
    private static final List<Runnable> shutdownHooks = new ArrayList<>();
    /** The exit status of the tool that runs. */
    private static volatile CompletableFuture<Integer> ended;

    public static void main(String[] none) throws IOException {
        DataInputStream requests = new DataInputStream(System.in);
        DataOutputStream replies = new DataOutputStream(System.out);
        Exit.Procedure end = (status, message) -> {
            if (message != null) System.err.println(message);
            ended.complete(status);
            // Like an exit, this does not return, and no finally block runs.
            while (true) LockSupport.park();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> shutdownHooks.add(hook));
        while (true) {
            String[] command;
            try {
                command = new String[requests.readInt()];
            } catch (EOFException noMore) {
                Runtime.getRuntime().halt(0);
                return;
            }
            for (int i = 0; i < command.length; i++) command[i] = new String(readBytes(requests), StandardCharsets.UTF_8);
            serve(command, new ByteArrayInputStream(readBytes(requests)), replies);
        }
    }

    private static void serve(String[] command, InputStream in, DataOutputStream replies) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setIn(in);
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        int status = run(command);
        System.out.flush();
        System.err.flush();
        replies.writeInt(status);
        writeBytes(replies, out.toByteArray());
        writeBytes(replies, err.toByteArray());
        replies.flush();
    }

    private static int run(String[] command) {
        ended = new CompletableFuture<>();
        Thread tool = new Thread(() -> callMain(command), command[0]);
        tool.setDaemon(true);
        tool.start();
        int status = ended.join();
        shutdownHooks.forEach(Runnable::run);
        shutdownHooks.clear();
        return status;
    }

    private static void callMain(String[] command) {
        String[] args = Arrays.copyOfRange(command, 1, command.length);
        CompletableFuture<Integer> status = ended;
        try {
            Class.forName(command[0]).getMethod("main", String[].class).invoke(null, (Object) args);
            status.complete(0);
        } catch (Throwable failure) {
            failure.printStackTrace();
            status.complete(1);
        }
    }

    private static byte[] readBytes(DataInputStream from) throws IOException {
        byte[] bytes = new byte[from.readInt()];
        from.readFully(bytes);
        return bytes;
    }

    private static void writeBytes(DataOutputStream to, byte[] bytes) throws IOException {
        to.writeInt(bytes.length);
        to.write(bytes);
    }
}
