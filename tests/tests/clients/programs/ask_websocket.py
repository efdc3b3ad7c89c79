"""Talks over a WebSocket, with websocket-client."""

import os
import sys

import websocket

socket = websocket.create_connection(sys.argv[1], header=["Authorization: Bearer " + os.environ["KEY"]], timeout=20)
print(socket.recv())
socket.send("a text")
assert socket.recv() == "a text"
socket.send_binary(b"\xff" * 100_000)
assert socket.recv() == b"\xff" * 100_000
socket.ping("x")
socket.close()
print("talked")
