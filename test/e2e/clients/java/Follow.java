import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;

// Follows with the JDK's HttpClient: java Follow.java URL…
// The client is the method follow; the rest prints what it gets.
public class Follow {
    interface Handler {
        void message(String event, String id, String data);
    }

    static final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static final ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
    static final long silence = Long.parseLong(System.getenv().getOrDefault("E2E_READ_TIMEOUT", "45000")); // ms, longer than the heartbeat

    // Follows for ever. The position goes into ?after=. HttpClient has no read
    // timeout: a timer closes a stream that is silent.
    static void follow(String url, Handler handler) throws InterruptedException {
        for (String last = "beginning";; Thread.sleep(100 + ThreadLocalRandom.current().nextInt(200))) {
            var address = URI.create(url + "&after=" + last); // a cursor needs no escapes
            var request = HttpRequest.newBuilder(address).header("Accept", "text/event-stream").timeout(Duration.ofMillis(silence)).build();
            ScheduledFuture<?> dead = null;
            try {
                var response = http.send(request, HttpResponse.BodyHandlers.ofInputStream());
                var body = response.body();
                if (response.statusCode() != 200) throw new IOException("status " + response.statusCode());
                var in = new BufferedReader(new InputStreamReader(body, StandardCharsets.UTF_8));
                String event = "", id = "", data = null, line;
                do {
                    if (dead != null) dead.cancel(false);
                    dead = timer.schedule(() -> { body.close(); return null; }, silence, TimeUnit.MILLISECONDS);
                    if ((line = in.readLine()) == null) break; // readLine shows a cut line, too: only an empty one ends a message
                    if (line.startsWith("event: ")) event = line.substring(7);
                    if (line.startsWith("id: ")) id = line.substring(4);
                    if (line.startsWith("data: ")) data = (data == null ? "" : data + "\n") + line.substring(6);
                    if (!line.isEmpty()) continue;
                    if (data != null) handler.message(event, id, data);
                    if (data != null && !id.isEmpty()) last = id;
                    event = id = "";
                    data = null;
                } while (true);
            } catch (IOException err) {
                handler.message("#error", "", String.valueOf(err.getMessage()));
            } finally {
                if (dead != null) dead.cancel(false);
            }
        }
    }

    static String quote(String text) {
        var out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') out.append('\\').append(c);
            else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
            else out.append(c);
        }
        return out.append('"').toString();
    }

    public static void main(String[] urls) throws IOException {
        var out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        for (int i = 0; i < urls.length; i++) {
            int n = i;
            Handler print = (event, id, data) -> out.println(
                "{\"n\":" + n + ",\"event\":" + quote(event) + ",\"id\":" + quote(id) + ",\"data\":" + quote(data) + "}");
            var thread = new Thread(() -> {
                try {
                    follow(urls[n].replace("after=beginning&", ""), print);
                } catch (InterruptedException ended) {
                    Thread.currentThread().interrupt();
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        System.in.read(); // its end ends the program
        System.exit(0);
    }
}
