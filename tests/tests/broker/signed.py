"""Signs requests with botocore, and says with what signature a host must have got them.

`send URL < table`: signs each request with the keys of the environment, sends it through the proxy, and prints the answer.
`expect < seen`: for each request as a host has got it, the Authorization that botocore gives it with the keys of the environment.
"""

import hashlib, http.client, json, os, ssl, sys, urllib.parse
from datetime import datetime, timedelta, timezone

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FORMAT = "%Y%m%dT%H%M%SZ"


def signer(service, region):
    token = os.environ.get("AWS_SESSION_TOKEN") or None
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], token)
    return (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region)


def send(base):
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    host = urllib.parse.urlsplit(base).netloc
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    for case in json.load(sys.stdin):
        headers = [tuple(header) for header in case.get("headers", [])]
        body = case.get("body", "").encode()
        request = AWSRequest(case.get("method", "GET"), base + case["target"], data=body)
        for name, value in headers:
            request.headers.add_header(name, value)
        auth = signer(case.get("service", "s3"), case.get("region", "us-east-1"))
        time = datetime.now(timezone.utc) + timedelta(seconds=case.get("late", 0))
        request.context["timestamp"] = time.strftime(FORMAT)
        if case.get("payload"):
            request.context["payload_signing_enabled"] = True
            request.headers["X-Amz-Content-SHA256"] = case["payload"]
            auth._modify_request_before_signing = lambda request: own(auth, request)
        auth._modify_request_before_signing(request)
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        auth._inject_signature_to_request(request, signature)
        for name, value in case.get("change", []):
            del request.headers[name]
            request.headers[name] = value.replace("ID", os.environ["AWS_ACCESS_KEY_ID"])
        connection = http.client.HTTPSConnection(proxy.hostname, proxy.port, context=trust, timeout=30)
        connection.set_tunnel(host)
        connection.putrequest(request.method, case.get("sent", case["target"]).replace("ID", os.environ["AWS_ACCESS_KEY_ID"]), skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(case.get("length", len(body))))
        connection.endheaders(case.get("other", "").encode() or body)
        answer = connection.getresponse()
        print(answer.status, answer.read().decode().replace("\n", " "))


def own(auth, request):
    auth._set_necessary_date_headers(request)
    if auth.credentials.token:
        request.headers["X-Amz-Security-Token"] = auth.credentials.token


def expect():
    for seen in json.load(sys.stdin):
        method, target = seen["line"].split(" ", 1)
        headers = [line.split(": ", 1) for line in seen["headers"].splitlines()]
        named = dict(headers)
        algorithm, rest = named["authorization"].split(" ", 1)
        fields = dict(part.split("=", 1) for part in rest.split(", "))
        _, day, region, service, _ = fields["Credential"].split("/")
        assert named["x-amz-date"].startswith(day), named
        host = named.get("host", seen["host"])
        request = AWSRequest(method, "https://" + host + target, data=seen["body"].encode())
        for name, value in headers:
            if name in fields["SignedHeaders"].split(";") and name != "host":
                request.headers.add_header(name, value)
        if "x-amz-content-sha256" in named:
            content = named["x-amz-content-sha256"]
            if len(content) == 64:
                assert content == hashlib.sha256(seen["body"].encode()).hexdigest()
        auth = signer(service, region)
        request.context["timestamp"] = named["x-amz-date"]
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        signed = auth.signed_headers(auth.headers_to_sign(request))
        token = auth.credentials.token
        assert named.get("x-amz-security-token") in (None, token), "another token"
        print(f"{algorithm} Credential={auth.scope(request)}, SignedHeaders={signed}, Signature={signature}")


if sys.argv[1] == "send":
    send(sys.argv[2])
else:
    expect()
