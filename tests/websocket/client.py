"""A client of Python's websockets: client.py URL [CERTIFICATE HOST PORT]. Ends with 0 where all
passes."""

import asyncio
import os
import ssl
import sys

import websockets


async def main(url, certificate=None, host=None, port=None):
    more = {}
    if certificate:
        more = {"ssl": ssl.create_default_context(cafile=certificate), "host": host, "port": int(port)}
    async with websockets.connect(url, max_size=None, subprotocols=["other", "chat"], **more) as ws:
        assert ws.protocol.extensions, "permessage-deflate is agreed on"
        for message in ["", "hello", "\u00e4\U0001f600" * 1000, b"", os.urandom(300_000), "x" * 200_000]:
            await ws.send(message)
            assert await ws.recv() == message
        # In fragments.
        await ws.send(["a", "b", "c"])
        assert await ws.recv() == "abc"
        # Many at once, in their order.
        await asyncio.gather(*(ws.send(str(i)) for i in range(200)))
        assert [int(await ws.recv()) for _ in range(200)] == list(range(200))
        # Pings are the node's to answer.
        for _ in range(5):
            await (await ws.ping(os.urandom(8)))
    assert ws.close_code == 1000, ws.close_code
    # Several beside each other.
    async def one(i):
        async with websockets.connect(url, **more) as ws:
            for k in range(20):
                await ws.send(f"{i} {k}")
                assert await ws.recv() == f"{i} {k}"
            await ws.close(4000 + i, "enough")
        assert (ws.close_code, ws.close_reason) == (4000 + i, "enough")

    await asyncio.gather(*(one(i) for i in range(10)))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
