//! Connections that become something else: WebSockets without extensions, and nothing else.

use secretsd_tests::harness::skip;
use secretsd_tests::process;

use crate::world::World;

/// Says this head over a tunnel of HTTP/1.1, and prints what comes in half a second's silence or to the end.
const SAY: &str = r#"
import os, socket, ssl, sys, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
host = sys.argv[1]
def tunnel(protocols):
    stream = socket.create_connection((proxy.hostname, proxy.port), 20)
    stream.sendall(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    while not stream.recv(1).endswith(b"\n"): pass
    while stream.recv(2) != b"\r\n":
        while not stream.recv(1).endswith(b"\n"): pass
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    trust.set_alpn_protocols(protocols)
    return trust.wrap_socket(stream, server_hostname=host.split(":")[0])
for case in sys.argv[2:]:
    head = case.replace("@", os.environ["KEY"]).replace("\n", "\r\n")
    with tunnel(["http/1.1"]) as stream:
        stream.sendall(f"{head}\r\nHost: {host}\r\nConnection: Upgrade\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = stream.recv(4096)
            if not piece: break
            answer += piece
        print(answer.split(b"\r\n")[0].decode(), "denied" if b"x-secretsd-denied" in answer else "passed")
# HTTP/2 says in its settings whether CONNECT may name a protocol (RFC 8441): it may not.
with tunnel(["h2"]) as stream:
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    read = b""
    while len(read) < 9 or len(read) < 9 + int.from_bytes(read[:3], "big"): read += stream.recv(4096)
    settings = read[9:9 + int.from_bytes(read[:3], "big")]
    print("settings", sorted(int.from_bytes(settings[at:at + 2], "big") for at in range(0, len(settings), 6)).count(8))
    # One that asks all the same.
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", host), (":path", "/v1/echo"),
        ("authorization", "Bearer " + os.environ["KEY"]), ("sec-websocket-version", "13")]
    block = b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)
    stream.sendall(len(block).to_bytes(3, "big") + bytes([1, 4, 0, 0, 0, 1]) + block)
    stream.settimeout(10)
    frames = read[9 + len(settings):]
    while True:
        while len(frames) < 9 or len(frames) < 9 + int.from_bytes(frames[:3], "big"):
            piece = stream.recv(4096)
            if not piece: print("closed"); sys.exit()
            frames += piece
        length = int.from_bytes(frames[:3], "big")
        kind, of, payload = frames[3], int.from_bytes(frames[5:9], "big"), frames[9:9 + length]
        frames = frames[9 + length:]
        if of == 1 or kind == 7: print("frame", kind, payload.hex()[:40]); break
"#;

#[test]
fn a_connection_becomes_a_websocket_without_extensions_or_nothing() {
    let test = "a_connection_becomes_a_websocket_without_extensions_or_nothing";
    if !std::process::Command::new("python3").arg("-V").output().is_ok_and(|output| output.status.success()) {
        return skip(test, "python3 is not installed");
    }
    let Some(world) = World::with(test, &["h2", "http/1.1"]) else { return };
    world.rule(&["--host", &world.host()]);
    let get = "GET /v1/echo HTTP/1.1\nAuthorization: Bearer @\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\nSec-WebSocket-Extensions: permessage-deflate\nUpgrade: ";
    let cases = [
        format!("{get}websocket"),
        format!("{get}h2c"),
        format!("{get}websocket, h2c"),
        format!("{}websocket\nContent-Length: 0", get.replace("GET", "POST")),
        format!("{get}TLS/1.0"),
    ];
    let host = world.host();
    let mut words = vec!["python3", "-c", SAY, &host];
    words.extend(cases.iter().map(String::as_str));
    let (_, output) = process::run(&mut world.command_with(&["-s", "KEY"], &words), b"");
    let out = String::from_utf8_lossy(&output.stdout);
    let refused = "HTTP/1.1 426 Upgrade Required denied";
    // RST_STREAM with PROTOCOL_ERROR: that stream is refused, and the connection goes on.
    let over_h2 = ["settings 0", "frame 3 00000001"];
    let expected = [&["HTTP/1.1 200 OK passed", refused, refused, refused, refused][..], &over_h2].concat();
    assert_eq!(out.lines().collect::<Vec<_>>(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    // The host, which answers as to any request, was asked for a WebSocket over HTTP/1.1, with nothing besides.
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].header("upgrade"), seen[0].version.as_str()), (Some("websocket"), "HTTP/1.1"));
    assert_eq!(seen[0].header("sec-websocket-extensions"), None);
}
