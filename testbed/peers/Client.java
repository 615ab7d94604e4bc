// SPDX-License-Identifier: Apache-2.0

import java.io.DataInputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.Socket;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Talks to servers by name: java Client.java ROUNDS KIND:NAME:PORT... */
class Client {
  interface Request {
    void make() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    for (int round = 0; round < Integer.parseInt(args[0]); round++) {
      List<Request> requests = new ArrayList<>();
      List<Socket> sockets = new ArrayList<>();
      for (int i = 1; i < args.length; i++) {
        String[] t = args[i].split(":");
        Request r = connect(t[0], t[1], Integer.parseInt(t[2]), sockets);
        r.make();
        requests.add(r);
      }
      for (Request r : requests) r.make();
      for (Socket s : sockets) s.close();
    }
  }

  static Request connect(String kind, String name, int port, List<Socket> sockets) throws Exception {
    String asked = "asked/" + name;
    if (kind.equals("http")) {
      return () -> {
        HttpURLConnection c = (HttpURLConnection) URI.create("http://" + name + ":" + port + "/" + asked).toURL().openConnection();
        c.getInputStream().readAllBytes();
      };
    }
    Socket s = new Socket(name, port);
    sockets.add(s);
    OutputStream out = s.getOutputStream();
    DataInputStream in = new DataInputStream(s.getInputStream());
    if (kind.equals("redis")) {
      return () -> {
        out.write(String.format("*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", asked.length(), asked).getBytes(StandardCharsets.UTF_8));
        while (in.read() != '\n') {}
      };
    }
    byte[] who = "user\0tester\0database\0postgres\0\0".getBytes(StandardCharsets.UTF_8);
    out.write(ByteBuffer.allocate(8 + who.length).putInt(8 + who.length).putInt(3 << 16).put(who).array());
    ready(in);
    return () -> {
      byte[] query = ("SELECT '" + asked + "'\0").getBytes(StandardCharsets.UTF_8);
      out.write(ByteBuffer.allocate(5 + query.length).put((byte) 'Q').putInt(4 + query.length).put(query).array());
      ready(in);
    };
  }

  static void ready(DataInputStream in) throws Exception {
    for (byte kind = 0; kind != 'Z'; ) {
      kind = in.readByte();
      in.readNBytes(in.readInt() - 4);
    }
  }
}
