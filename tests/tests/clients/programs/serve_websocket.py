"""Serves WebSockets: says with which Authorization it was asked, and then says all again that it is told."""

import ssl, sys

from websockets.sync.server import serve

tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[1], sys.argv[2])


def talk(connection):
    headers = connection.request.headers
    print("asked", headers.get("Authorization"), connection.protocol.extensions, flush=True)
    connection.send("you are " + str(headers.get("Authorization")))
    for message in connection:
        connection.send(message)


with serve(talk, "127.0.0.1", 0, ssl=tls, max_size=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
