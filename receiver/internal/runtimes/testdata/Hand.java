// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpServer;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;

/**
 * Gives a task to a pool and says who has made it and who runs it (thread ids of the kernel),
 * what a reference to it is and whether it has 64 bits. The one runs it until the end of standard input, the
 * other waits for it.
 */
public class Hand {
  static String thread() throws Exception {
    return Files.readSymbolicLink(Path.of("/proc/thread-self")).getFileName().toString();
  }

  public static void main(String[] args) throws Exception {
    Field f = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
    f.setAccessible(true);
    sun.misc.Unsafe unsafe = (sun.misc.Unsafe) f.get(null);
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 1);
    server.createContext("/", exchange -> exchange.sendResponseHeaders(204, -1));
    server.start();
    URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.discarding());
    ExecutorService pool = Executors.newFixedThreadPool(1);
    pool.submit(() -> {}).get();
    String maker = thread();
    Object[] reference = new Object[1];
    FutureTask<Void> task =
        new FutureTask<>(
            () -> {
              boolean wide = unsafe.arrayIndexScale(Object[].class) == 8;
              long at = unsafe.arrayBaseOffset(Object[].class);
              long value = wide ? unsafe.getLong(reference, at) : unsafe.getInt(reference, at) & 0xffffffffL;
              System.out.println(maker + " " + thread() + " " + value + " " + (wide ? 1 : 0));
              System.in.read();
              Runtime.getRuntime().halt(0);
              return null;
            });
    reference[0] = task;
    pool.execute(task);
    task.get();
  }
}
