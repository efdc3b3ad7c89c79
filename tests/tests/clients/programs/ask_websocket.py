"""Opens a WebSocket."""

import os
import sys

import websocket

try:
    websocket.create_connection(sys.argv[1], header=["Authorization: Bearer " + os.environ["KEY"]], timeout=20)
    print("open")
except websocket.WebSocketBadStatusException as error:
    print("status", error.status_code)
