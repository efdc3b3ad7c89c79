"""A server on a port of the loopback interface, which it prints. What a table says is served to those who have the
expected Authorization header; all others get 401. Whatever they send is taken. With a certificate it speaks TLS, and with
one of a client it demands that instead of a header. What docker would send to a registry goes into a file."""

import base64
import hashlib
import http.server
import io
import json
import os
import ssl
import zipfile

EXPECTED = os.environ["EXPECTED"]
CLIENT = os.environ.get("CLIENT_CERTIFICATE")
VERSION = {name: "x" for name in ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")}
VERSION |= {"major": "1", "minor": "32", "gitVersion": "v1.32.4"}
CHALLENGES = os.environ.get("CHALLENGES", 'Basic realm="test"').split("\n")


def wheel():
    """The package acme, which holds nothing."""
    files = {
        "acme.py": "",
        "acme-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n",
        "acme-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "acme-1.0.dist-info/RECORD"
    lines = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}\n")
    files[record] = "".join(lines) + f"{record},,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()


WHEEL = wheel()
TABLE = {
    # The Python Packaging Authority's simple index.
    "/simple/acme/": ("text/html", b'<a href="/files/acme-1.0-py3-none-any.whl">acme-1.0-py3-none-any.whl</a>'),
    "/files/acme-1.0-py3-none-any.whl": ("application/octet-stream", WHEEL),
    # A registry of images with one repository.
    "/v2/": ("application/json", b"{}"),
    "/v2/team/app/tags/list": ("application/json", b'{"name":"team/app","tags":["one"]}'),
    # A sparse index of cargo's with one crate.
    "/index/ac/me/acme": (
        "text/plain",
        json.dumps({"name": "acme", "vers": "1.0.0", "deps": [], "cksum": "0" * 64, "features": {}, "yanked": False}).encode(),
    ),
    # A cluster.
    "/version": ("application/json", json.dumps(VERSION).encode()),
    "/version/": ("application/json", json.dumps(VERSION).encode()),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, kind, content, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer(self):
        path = self.path.partition("?")[0]
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "X-Registry-Auth" in self.headers and "SEEN" in os.environ:
            with open(os.environ["SEEN"], "ab") as file:
                file.write(base64.urlsafe_b64decode(self.headers["X-Registry-Auth"]))
        if not CLIENT and self.headers.get("Authorization", "") != EXPECTED:
            challenges = [("WWW-Authenticate", challenge) for challenge in CHALLENGES]
            self.reply(401, "application/json", b"{}", challenges)
        elif path == "/index/config.json":
            url = f"http://127.0.0.1:{self.server.server_address[1]}"
            config = {"dl": f"{url}/crates", "api": url, "auth-required": True}
            self.reply(200, "application/json", json.dumps(config).encode())
        elif path in TABLE:
            kind, content = TABLE[path]
            self.reply(200, kind, content, [("Docker-Distribution-Api-Version", "registry/2.0")])
        elif self.command == "POST":
            self.reply(200, "text/plain", b"")
        else:
            self.reply(404, "text/plain", b"")

    do_GET = do_HEAD = do_POST = do_PUT = answer


if "WHEEL" in os.environ:
    with open(os.environ["WHEEL"], "wb") as file:
        file.write(WHEEL)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if "CERTIFICATE" in os.environ:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
    if CLIENT:
        context.load_verify_locations(CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
