# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that asks another one, on the port that is its argument, for every path
that it is asked for. It sleeps before, so that only asyncio knows what it works on then."""

import asyncio
import sys


async def serve(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ", 2)[1]
    await asyncio.sleep(0.003)
    there, ask = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    ask.write(b"GET " + path + b" HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n")
    answer = await there.read()
    ask.close()
    writer.write(answer)
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
