"""What a program that wants the value tries with raw requests. Reads a case a line from the standard input, as JSON, and
prints what came back: the answer's status and the first 400 characters of its body, or why there is none."""
import json, os, socket, ssl, sys, urllib.parse

proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])


def attempt(case):
    stream = socket.create_connection((proxy.hostname, proxy.port), timeout=15)
    connect = case.get("connect")
    if connect is not None:
        stream.sendall(f"CONNECT {connect} HTTP/1.1\r\nHost: {connect}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = stream.recv(4096)
            if not more:
                return "closed at CONNECT"
            head += more
        status = head.split(b" ", 2)[1]
        if status != b"200":
            return "CONNECT " + status.decode()
        if case.get("plain"):
            stream.sendall(case["raw"].encode("latin-1"))
            return received(stream)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if case.get("protocols"):
            context.set_alpn_protocols(case["protocols"])
        stream = context.wrap_socket(stream, server_hostname=case.get("sni", connect.rsplit(":", 1)[0]))
    stream.sendall(case["raw"].encode("latin-1"))
    return received(stream)


def received(stream):
    data = b""
    try:
        while len(data) < 100_000:
            more = stream.recv(65536)
            if not more:
                break
            data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
            if length and len(body) >= int(length[0]):
                break
    except OSError:
        pass
    if not data:
        return "closed"
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/"):
        return "no HTTP"
    return head.split(b"\r\n")[0].split(b" ", 1)[1].decode() + " " + body[:400].decode("latin-1")


for line in sys.stdin:
    try:
        print(attempt(json.loads(line)).replace("\n", " "), flush=True)
    except (OSError, ssl.SSLError) as error:
        print("failed", type(error).__name__, flush=True)
