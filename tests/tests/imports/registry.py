# Says yes to each login, as a registry of containers, of npm's packages and as an index of cargo. Its port is its first line.
import http.server
import json


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"{}"
        if self.path == "/config.json":
            body = b'{"dl": "http://127.0.0.1/dl", "api": "http://127.0.0.1"}'
            status = 200
        elif self.path == "/-/whoami":
            body = json.dumps({"username": self.headers.get("Authorization")}).encode()
            status = 200
        else:
            status = 200 if self.headers.get("Authorization", "").startswith("Basic ") else 401
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
