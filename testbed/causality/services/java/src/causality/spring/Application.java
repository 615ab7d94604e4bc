// SPDX-License-Identifier: Apache-2.0
package causality.spring;

import causality.Plan;
import jakarta.servlet.http.HttpServletRequest;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestTemplate;

/** Spring MVC on Tomcat, with a RestTemplate and an executor for calls at the same time. */
@SpringBootApplication
@RestController
public class Application {
  private final RestTemplate client = new RestTemplate();
  private final ExecutorService executor = Executors.newFixedThreadPool(32);

  public static void main(String[] args) {
    SpringApplication app = new SpringApplication(Application.class);
    app.setDefaultProperties(
        Map.of(
            "server.address", "127.0.0.1",
            "server.port", System.getenv("PORT"),
            "server.tomcat.accept-count", "256",
            "server.tomcat.keep-alive-timeout", "10m",
            "server.tomcat.max-keep-alive-requests", "-1"));
    app.run(args);
  }

  @RequestMapping("/**")
  public ResponseEntity<byte[]> handle(HttpServletRequest request, @RequestBody(required = false) byte[] body) {
    try {
      Plan plan = Plan.parse(request.getRequestURI());
      for (List<Plan.Call> step : plan.steps()) {
        if (step.size() == 1) {
          one(step.get(0));
          continue;
        }
        List<Future<?>> futures = new ArrayList<>();
        for (Plan.Call call : step) {
          futures.add(executor.submit(() -> one(call)));
        }
        for (Future<?> future : futures) {
          future.get();
        }
      }
      return ResponseEntity.ok(plan.out());
    } catch (Exception e) {
      return ResponseEntity.internalServerError().body(("spring: " + e).getBytes());
    }
  }

  private Void one(Plan.Call call) throws InterruptedException {
    Thread.sleep(call.delay());
    if (call.url() == null) {
      return null;
    }
    URI url = URI.create(call.url());
    if (call.body().length > 0) {
      client.postForObject(url, call.body(), byte[].class);
    } else {
      client.getForObject(url, byte[].class);
    }
    return null;
  }
}
