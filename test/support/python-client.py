"""A client on python-websockets: does what its first argument says to the URL of its second, prints what it saw as JSON."""

import asyncio
import json
import sys

import websockets


async def main(what, url):
    async with websockets.connect(url, subprotocols=["v1.test"], compression=None) as client:
        seen = {"subprotocol": client.subprotocol}
        if what == "echo":
            await client.send("grüezi")
            seen["text"] = await client.recv()
            await client.send(bytes(100_000))
            seen["binary"] = len(await client.recv())
            pong = await client.ping()
            await asyncio.wait_for(pong, 10)
            await client.close(4000, "from python")
        elif what == "server-close":
            await client.wait_closed()
        seen["code"] = client.close_code
        seen["reason"] = client.close_reason
        print(json.dumps(seen))


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 30))
