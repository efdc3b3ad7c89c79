"""What schemathesis needs to speak to the daemon, loaded by it as a module: the Unix socket in place of TCP, a vault that
is open whatever the last request did, requests that more often than not mean something that exists, and two checks of
its own. Writes at the end how the requests were answered to $SECRETSD_REPORT."""

import atexit
import collections
import http.client
import itertools
import json
import os
import random
import socket

import schemathesis
import urllib3.connection
from schemathesis.generation.meta import TestPhase

SOCKET = os.environ["SECRETSD_SOCKET"]
TOKEN = os.environ.get("SECRETSD_TOKEN")
PASSPHRASE = os.environ["SECRETSD_PASSPHRASE"]

# Beside what the description says of an answer; hyper and the daemon send these with each.
ALWAYS = {"content-length", "content-type", "date", "connection", "cache-control", "x-content-type-options"}


def connect(_connection):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(30)
    stream.connect(SOCKET)
    return stream


urllib3.connection.HTTPConnection._new_conn = connect


def ask(method, path, body=None):
    """One request of our own, beside those that are tested."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connect(None)
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Content-Type": "application/json"} if body else {})
    connection.request(method, "/api/v1" + path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    status, bytes = answer.status, answer.read()
    connection.close()
    return status, bytes


by_operation = collections.defaultdict(collections.Counter)
chance = random.Random(4711)
numbers = itertools.count()
secrets, names, items = [], ["OPENAI_API_KEY"], []


@schemathesis.hook
def before_load_schema(context, raw):
    """The description leaves answers open for fields to come; this daemon must not send one that it does not name."""
    for name, schema in raw["components"]["schemas"].items():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    # Another version is refused before anything else is looked at: trying that on one operation is enough.
    for path, operations in raw["paths"].items():
        for operation in operations.values():
            if isinstance(operation, dict) and operation["operationId"] != "get_vault":
                operation["parameters"] = [known for known in operation["parameters"] if "$ref" not in known]
            elif isinstance(operation, dict):
                # What a client says of itself is shown, and refused for its length alone.
                client = "#/components/parameters/client"
                operation["parameters"] = [known for known in operation["parameters"] if known.get("$ref") != client]
    # What is guarded is refused in every other operation until a person answers; `approvals.rs` looks at that.
    del raw["paths"]["/api/v1/user/secrets/{id}/guard"]
    del raw["paths"]["/api/v1/items/{id}/guard"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Wrong tokens are told 429 beyond the tenth in ten seconds, which is no acceptance either."""
    return not (failure.code == "ST401" and "429 Too Many Requests" in failure.message)


def fresh_key():
    """A key slot that nobody else needs."""
    _, key = ask("POST", "/vault/keys", {"recovery": True})
    return [json.loads(key)["id"]]


def usable():
    """The name of a secret whose value can be used."""
    ask("POST", "/user/secrets", {"name": "USABLE", "value": "x"})
    listed = json.loads(ask("GET", "/user/secrets?name=USABLE")[1])["secrets"]
    for secret in listed:
        ask("PUT", f"/user/secrets/{secret['id']}/rules", {"rules": [{"host": "api.example.com", "site": "bearer"}]})
    return "USABLE"


def fresh_session():
    """A session that nobody else needs."""
    _, session = ask("POST", "/use/sessions", {"secrets": [usable()], "purpose": "test"})
    return [json.loads(session)["id"]]


def free_preset(otherwise):
    """A provider whose secret is not there yet."""
    presets = json.loads(ask("GET", "/user/secrets/presets")[1])["presets"]
    return next((known["provider"] for known in presets if not known["configured"]), otherwise)


def trashed():
    """A secret that can come back: its name is not taken."""
    _, secret = ask("POST", "/user/secrets", {"name": f"TRASHED_{next(numbers)}", "value": "x"})
    id = json.loads(secret)["id"]
    ask("DELETE", f"/user/secrets/{id}")
    return [id]


def replaced():
    """A secret with an earlier value."""
    _, secret = ask("POST", "/user/secrets", {"name": f"REPLACED_{next(numbers)}", "value": "x"})
    id = json.loads(secret)["id"]
    ask("PUT", f"/user/secrets/{id}", {"value": "y"})
    return [id]


def trashed_item():
    """An item that can come back."""
    _, item = ask("POST", "/items", {"label": "l", "attributes": {}, "value_base64": ""})
    id = json.loads(item)["id"]
    ask("DELETE", f"/items/{id}")
    return [id]


def of_item(operation):
    return operation.endswith("_item") or operation == "list_item_versions"


def operation_of(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """In three of four valid requests, what is asked for is there."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    # schemathesis takes an empty line for one of the pattern's.
    if positive and (case.headers or {}).get("If-Match") == "":
        case.headers["If-Match"] = "*"
    # Nothing changes while it waits.
    if "wait" in (case.query or {}) and str(case.query["wait"]).isdigit():
        case.query["wait"] = min(int(case.query["wait"]), 1)
    if not (TOKEN and positive) or chance.random() < 0.25:
        return
    operation, body = operation_of(case), case.body
    # Steps that follow from one another have their ids already.
    if "id" in (case.path_parameters or {}) and case.meta.phase.name != TestPhase.STATEFUL:
        known = {"remove_key": fresh_key, "confirm_key": fresh_key, "end_session": fresh_session, "restore_secret": trashed, "drop_version": replaced, "restore_item": trashed_item}.get(operation, lambda: items if of_item(operation) else secrets)()
        if known:
            case.path_parameters["id"] = chance.choice(known)
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = "*"
    if operation == "drop_version":
        case.query["version"] = 1
    if not isinstance(body, dict):
        return
    if operation == "reveal_secrets":
        body["secrets"] = [chance.choice(names), "*"]
    if operation == "create_secret_from_preset":
        body["provider"] = free_preset(body["provider"])
    if operation == "begin_session":
        body["secrets"] = [usable()]
    if operation == "rollback_secret":
        body["version"] = 1
    if operation in ("unlock_vault", "rotate_vault"):
        body.clear()
        body["passphrase"] = PASSPHRASE


@schemathesis.hook
def after_call(context, case, response):
    operation, status = operation_of(case), response.status_code
    by_operation[operation][status] += 1
    if not TOKEN or not 200 <= status < 300:
        return
    id = (case.path_parameters or {}).get("id")
    if operation in ("create_secret", "create_secret_from_preset"):
        secret = response.json()
        secrets.append(secret["id"])
        names.append(secret["name"])
    elif operation == "create_item":
        items.append(response.json()["id"])
    elif operation == "delete_item":
        items[:] = [known for known in items if known != id]
    elif operation == "delete_secret":
        secrets[:] = [known for known in secrets if known != id]
    elif operation == "lock_vault":
        status, _ = ask("POST", "/vault/unlock", {"passphrase": PASSPHRASE})
        assert status == 200, f"the vault does not open again: {status}"


@schemathesis.check
def headers_are_documented(ctx, response, case):
    document = case.operation.schema.raw_schema
    described = case.operation.definition.raw["responses"].get(str(response.status_code))
    if described is None:
        return
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
    known = ALWAYS | {name.lower() for name in described.get("headers", {})}
    if response.status_code == 426:
        known.add("upgrade")
    undocumented = {name.lower() for name in response.headers} - known
    assert not undocumented, f"undocumented headers: {sorted(undocumented)}"


@schemathesis.check
def nobody_gets_anything_without_a_token(ctx, response, case):
    if not TOKEN and operation_of(case) not in ("health", "get_openapi"):
        assert not 200 <= response.status_code < 400, "answered without a token"


@schemathesis.deserializer("application/octet-stream")
def bytes_are_text_of_any_kind(context, response):
    return response.content.decode("latin-1")


@atexit.register
def report():
    with open(os.environ["SECRETSD_REPORT"], "w") as file:
        json.dump(by_operation, file)
