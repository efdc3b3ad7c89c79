"""Talks over a WebSocket, with websockets."""

import os
import sys

from websockets.sync.client import connect

headers = {"Authorization": "Bearer " + os.environ["KEY"]}
with connect(sys.argv[1], additional_headers=headers, max_size=None) as socket:
    print(socket.recv())
    socket.send("a text")
    assert socket.recv() == "a text"
    socket.send(b"\xff" * 100_000)
    assert socket.recv() == b"\xff" * 100_000
    # In parts.
    socket.send(["one ", "two ", "three"])
    assert socket.recv() == "one two three"
    assert socket.ping().wait(20)
print("talked")
