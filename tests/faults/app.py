"""An app: answers each request with 200. SIGUSR1: answers 502 from now on. SIGUSR2: accepts and never answers.
SIGHUP: as before."""

import asyncio
import signal
import sys

mode = "well"


def become(new):
    global mode
    mode = new


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            while mode == "hangs":
                await asyncio.sleep(0.1)
            status = b"502 Bad Gateway" if mode == "fails" else b"200 OK"
            body = b"app:" + head.split(b"\r\n", 1)[0]
            writer.write(b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                         % (status, len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    loop = asyncio.get_running_loop()
    for number, new in ((signal.SIGUSR1, "fails"), (signal.SIGUSR2, "hangs"), (signal.SIGHUP, "well")):
        loop.add_signal_handler(number, become, new)
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
