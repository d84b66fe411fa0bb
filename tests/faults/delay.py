"""A way to a server that SIGUSR1 makes slow: each answer comes DELAY seconds later. SIGHUP: as before.

    delay.py PORT SERVER_PORT DELAY
"""

import asyncio
import signal
import sys

delay = 0.0


def become(new):
    global delay
    delay = new


async def pass_on(reader, writer, slow):
    queue = asyncio.Queue()

    async def send():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    try:
        while data := await reader.read(65536):
            queue.put_nowait((asyncio.get_running_loop().time() + (delay if slow else 0.0), data))
    except ConnectionError:
        pass
    queue.put_nowait(None)
    await asyncio.gather(sending, return_exceptions=True)


async def serve(reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, there[1], False), pass_on(there[0], writer, True))


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, become, float(sys.argv[3]))
    loop.add_signal_handler(signal.SIGHUP, become, 0.0)
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
