// SPDX-License-Identifier: Apache-2.0
package causality.clients;

import causality.Plan;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.Dispatcher;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.apache.hc.client5.http.async.methods.SimpleHttpRequest;
import org.apache.hc.client5.http.async.methods.SimpleHttpResponse;
import org.apache.hc.client5.http.config.RequestConfig;
import org.apache.hc.client5.http.impl.async.CloseableHttpAsyncClient;
import org.apache.hc.client5.http.impl.async.HttpAsyncClientBuilder;
import org.apache.hc.client5.http.impl.nio.PoolingAsyncClientConnectionManagerBuilder;
import org.apache.hc.core5.concurrent.FutureCallback;
import org.apache.hc.core5.http.ContentType;
import reactor.core.publisher.Mono;
import reactor.netty.ByteBufMono;
import reactor.netty.resources.ConnectionProvider;

/**
 * The JDK's server with a fixed pool of threads, which calls others by whichever client the
 * environment variable CLIENT names, in their asynchronous ways: each hands requests to threads of
 * its own, and these to connections that others have opened.
 */
public final class Server {
  /** Sends a request; the result is the status of the response. */
  private interface Client {
    CompletableFuture<Integer> send(Plan.Call call);
  }

  public static void main(String[] args) throws Exception {
    Client client =
        switch (System.getenv("CLIENT")) {
          case "okhttp" -> okhttp();
          case "apache" -> apache();
          case "netty" -> netty();
          default -> throw new IllegalArgumentException("CLIENT is none of okhttp, apache, netty");
        };
    int port = Integer.parseInt(System.getenv("PORT"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 256);
    server.setExecutor(Executors.newFixedThreadPool(32));
    server.createContext("/", exchange -> handle(client, exchange));
    server.start();
    System.out.println("listening " + port);
  }

  private static void handle(Client client, HttpExchange exchange) throws IOException {
    exchange.getRequestBody().readAllBytes();
    int status = 200;
    byte[] body;
    try {
      Plan plan = Plan.parse(exchange.getRequestURI().getRawPath());
      for (List<Plan.Call> step : plan.steps()) {
        CompletableFuture.allOf(step.stream().map(call -> send(client, call)).toArray(CompletableFuture[]::new)).join();
      }
      body = plan.out();
    } catch (Exception e) {
      status = 500;
      body = ("clients: " + e).getBytes();
    }
    exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  private static CompletableFuture<Void> send(Client client, Plan.Call call) {
    try {
      Thread.sleep(call.delay());
    } catch (InterruptedException e) {
      return CompletableFuture.failedFuture(e);
    }
    if (call.url() == null) {
      return CompletableFuture.completedFuture(null);
    }
    return client
        .send(call)
        .thenAccept(
            status -> {
              if (status != 200) {
                throw new IllegalStateException(call.url() + ": " + status);
              }
            });
  }

  private static Client okhttp() {
    Dispatcher dispatcher = new Dispatcher();
    dispatcher.setMaxRequests(64);
    dispatcher.setMaxRequestsPerHost(64);
    OkHttpClient client = new OkHttpClient.Builder().dispatcher(dispatcher).readTimeout(Duration.ofMinutes(1)).build();
    return call -> {
      Request.Builder b = new Request.Builder().url(call.url());
      if (call.body().length > 0) {
        b.post(RequestBody.create(call.body()));
      }
      CompletableFuture<Integer> result = new CompletableFuture<>();
      client
          .newCall(b.build())
          .enqueue(
              new Callback() {
                @Override
                public void onFailure(Call c, IOException e) {
                  result.completeExceptionally(e);
                }

                @Override
                public void onResponse(Call c, Response res) throws IOException {
                  try (res) {
                    res.body().bytes();
                    result.complete(res.code());
                  }
                }
              });
      return result;
    };
  }

  private static Client apache() {
    CloseableHttpAsyncClient client =
        HttpAsyncClientBuilder.create()
            .setConnectionManager(PoolingAsyncClientConnectionManagerBuilder.create().setMaxConnTotal(256).setMaxConnPerRoute(64).build())
            .setDefaultRequestConfig(RequestConfig.custom().setConnectionRequestTimeout(1, TimeUnit.MINUTES).build())
            .build();
    client.start();
    return call -> {
      SimpleHttpRequest request = SimpleHttpRequest.create(call.body().length > 0 ? "POST" : "GET", call.url());
      if (call.body().length > 0) {
        request.setBody(call.body(), ContentType.APPLICATION_OCTET_STREAM);
      }
      CompletableFuture<Integer> result = new CompletableFuture<>();
      client.execute(
          request,
          new FutureCallback<SimpleHttpResponse>() {
            @Override
            public void completed(SimpleHttpResponse res) {
              result.complete(res.getCode());
            }

            @Override
            public void failed(Exception e) {
              result.completeExceptionally(e);
            }

            @Override
            public void cancelled() {
              result.cancel(false);
            }
          });
      return result;
    };
  }

  private static Client netty() {
    reactor.netty.http.client.HttpClient client =
        reactor.netty.http.client.HttpClient.create(
            ConnectionProvider.builder("calls").maxConnections(64).pendingAcquireMaxCount(-1).pendingAcquireTimeout(Duration.ofMinutes(1)).build());
    return call ->
        (call.body().length > 0
                ? client.post().uri(call.url()).send(ByteBufMono.fromString(Mono.just(new String(call.body()))))
                : client.get().uri(call.url()))
            .responseSingle((res, body) -> body.asByteArray().thenReturn(res.status().code()).defaultIfEmpty(res.status().code()))
            .toFuture();
  }

  private Server() {}
}
