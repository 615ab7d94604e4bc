// SPDX-License-Identifier: Apache-2.0

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;

/** A server that speaks MongoDB's protocol, on a free port. */
public class Server {
  public static void main(String[] args) throws Exception {
    MongoServer server = new MongoServer(new MemoryBackend());
    System.out.println("listening " + server.bind().getPort());
    Thread.currentThread().join();
  }
}
