"""Puts what VALUE is into the place of what PLACEHOLDER is."""

import os

PLACEHOLDER = "Bearer " + os.environ["PLACEHOLDER"]
VALUE = "Bearer " + os.environ["VALUE"]


def request(flow):
    if flow.request.headers.get("authorization") == PLACEHOLDER:
        flow.request.headers["authorization"] = VALUE
