"""One call with the key among its metadata."""

import os
import sys

import grpc

with grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials()) as channel:
    say = channel.unary_unary("/test.Echo/Say", request_serializer=bytes, response_deserializer=bytes)
    print(say(b"hi", metadata=[("authorization", "Bearer " + os.environ["KEY"])], timeout=20).decode())
