// SPDX-License-Identifier: Apache-2.0
package causality.pool;

import causality.Plan;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * The JDK's server with a fixed pool of threads, and its client: send for one call, sendAsync for
 * several at the same time.
 */
public final class Server {
  private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  public static void main(String[] args) throws IOException {
    int port = Integer.parseInt(System.getenv("PORT"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 256);
    server.setExecutor(Executors.newFixedThreadPool(32));
    server.createContext("/", Server::handle);
    server.start();
    System.out.println("listening " + port);
  }

  private static void handle(HttpExchange exchange) throws IOException {
    exchange.getRequestBody().readAllBytes();
    int status = 200;
    byte[] body;
    try {
      Plan plan = Plan.parse(exchange.getRequestURI().getRawPath());
      for (List<Plan.Call> step : plan.steps()) {
        if (step.size() == 1) {
          one(step.get(0));
        } else {
          CompletableFuture.allOf(step.stream().map(Server::async).toArray(CompletableFuture[]::new)).join();
        }
      }
      body = plan.out();
    } catch (Exception e) {
      status = 500;
      body = ("java: " + e).getBytes();
    }
    exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  private static void one(Plan.Call call) throws IOException, InterruptedException {
    Thread.sleep(call.delay());
    if (call.url() != null) {
      check(call, CLIENT.send(request(call), BodyHandlers.ofString()));
    }
  }

  private static CompletableFuture<Void> async(Plan.Call call) {
    CompletableFuture<Void> wait =
        call.delay() == 0
            ? CompletableFuture.completedFuture(null)
            : CompletableFuture.runAsync(() -> {}, CompletableFuture.delayedExecutor(call.delay(), TimeUnit.MILLISECONDS));
    if (call.url() == null) {
      return wait;
    }
    return wait.thenCompose(x -> CLIENT.sendAsync(request(call), BodyHandlers.ofString())).thenAccept(r -> check(call, r));
  }

  private static HttpRequest request(Plan.Call call) {
    HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(call.url()));
    return (call.body().length > 0 ? b.POST(BodyPublishers.ofByteArray(call.body())) : b.GET()).build();
  }

  private static void check(Plan.Call call, HttpResponse<String> res) {
    if (res.statusCode() != 200) {
      throw new IllegalStateException(call.url() + ": " + res.body());
    }
  }
}
