// SPDX-License-Identifier: Apache-2.0
package causality;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the path of a request asks a service to do (see ../../../../doc.go). */
public record Plan(List<List<Call>> steps, byte[] out) {
  private static final Map<String, String> PEERS = new HashMap<>();

  static {
    for (String peer : System.getenv("PEERS").split(" ")) {
      String[] p = peer.split("=");
      PEERS.put(p[0], p[1]);
    }
  }

  /** A wait in ms and a request; url is null if it is a wait only. */
  public record Call(long delay, String url, byte[] body) {}

  public static Plan parse(String path) {
    String[] part = path.split("/", -1); // "", scenario, id, node, sizes, plan
    String node = part[3];
    String[] sizes = part[4].split("-");
    byte[] in = new byte[Integer.parseInt(sizes[0])];
    List<List<Call>> steps = new ArrayList<>();
    int child = 0;
    for (String entry : part[5].split("~")) {
      if (!entry.startsWith(node + "=")) {
        continue;
      }
      for (String step : entry.substring(node.length() + 1).split(",")) {
        List<Call> calls = new ArrayList<>();
        for (String call : step.split("\\+")) {
          String[] p = call.split("\\*");
          String url = null;
          if (!p[0].isEmpty()) {
            part[3] = node + "." + child++;
            url = "http://" + PEERS.get(p[0]) + String.join("/", part);
          }
          calls.add(new Call(p.length > 1 ? Long.parseLong(p[1]) : 0, url, in));
        }
        steps.add(calls);
      }
    }
    return new Plan(steps, new byte[Integer.parseInt(sizes[1])]);
  }
}
