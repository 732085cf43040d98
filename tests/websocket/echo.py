"""An echo server of Python's websockets: prints its port, and ends with its standard input."""

import asyncio
import sys

import websockets


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    # What comes is to be answered as it is, however long it is and however slow the machine.
    server = await websockets.serve(
        echo, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=5
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
