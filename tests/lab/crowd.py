"""Forty clients that ask again and again until the file `enough` is there, a connection for each request, and print the
status of each answer, or what came instead."""

import os
import random
import socket
import threading
import time

PATH = os.environ["XDG_RUNTIME_DIR"] + "/secretsd/secretsd.sock"
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(25)
        client.connect(PATH)
        # As a program does that is not ready to send the moment it has connected.
        time.sleep(random.uniform(0, 0.01))
        client.sendall(REQUEST)
        return client.makefile("rb").read().split(b"\r\n")[0].decode()


def run():
    while not os.path.exists("enough"):
        try:
            print(ask(), flush=True)
        except OSError as error:
            print(repr(error), flush=True)
        time.sleep(random.uniform(0, 0.1))


clients = [threading.Thread(target=run) for _ in range(40)]
for client in clients:
    client.start()
for client in clients:
    client.join()
