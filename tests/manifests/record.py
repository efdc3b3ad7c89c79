#!/usr/bin/env python3
"""Records what SecretSpec's own program says of the manifests in corpus.txt, in recorded.json.

Run by hand when the corpus or the version changes. It installs the version named below with `cargo install` into
target/secretspec (a long build: some 500 crates) unless SECRETSPEC names a program of that version, and gives it
nothing but its built-in dotenv store. The tests compare with the record and need no program.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

VERSION = "0.21.1"
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent / "target" / "secretspec"


def program():
    named = os.environ.get("SECRETSPEC")
    path = pathlib.Path(named) if named else ROOT / "bin" / "secretspec"
    if not path.exists():
        features = ["--no-default-features", "--features", "cli"]
        command = ["cargo", "install", "secretspec", "--version", VERSION, "--locked", "--root", str(ROOT)]
        subprocess.run(command + features, check=True)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if VERSION not in said:
        sys.exit(f"{path} is {said.strip()}, not {VERSION}")
    return str(path)


def cases(text):
    """Each case: its name and its files. What stands before the first one is for people."""
    for part in re.split(r"(?m)^== ", text)[1:]:
        name, _, rest = part.partition("\n")
        files = {}
        for piece in re.split(r"(?m)^-- ", rest)[1:]:
            head, _, body = piece.partition("\n")
            path, *how = head.split(" ")
            body = body.rstrip("\n") + "\n"
            if "crlf" in how:
                body = body.replace("\n", "\r\n")
            if "bom" in how:
                body = "\ufeff" + body
            files[path] = body.encode()
        yield name, files


# What the command of a run got: each variable that is asked for, and what is in the file if it is a path.
SHOW = """
import base64, json, os, sys
found = {}
for key in sys.argv[1].split(","):
    value = os.environb.get(key.encode())
    if value is None:
        continue
    entry = {"value": base64.b64encode(value).decode()}
    if value.startswith(b"/") and os.path.isfile(value):
        entry = {"file": base64.b64encode(open(value, "rb").read()).decode()}
    found[key] = entry
print(json.dumps(found))
"""


def run(secretspec, directory, arguments):
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "SECRETSPEC_REASON": "recording"}
    # It asks on a terminal, so that there must be none; and what it may still wait for is no answer.
    command = ["timeout", "20", "setsid", "--wait", secretspec, *arguments]
    work = directory / "work"
    return subprocess.run(command, cwd=work, env=environment, capture_output=True, stdin=subprocess.DEVNULL)


def record(secretspec, files, line):
    profile, *scope = line.split(" ")
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        work = directory / "work"
        for path, content in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_bytes(content)
        (work / "stored.env").touch()
        chosen = ["--provider", "dotenv:stored.env", "--profile", profile]
        chosen += ["--scope", scope[0]] if scope else []
        checked = run(secretspec, directory, ["check", "--json", *chosen])
        if not checked.stdout.startswith(b"{"):
            return {"run": line, "refused": True}
        # Where the checkout lay is another place each time.
        report = json.loads(checked.stdout.decode().replace(str(work), "/checkout"))
        result = {"run": line, "complete": checked.returncode == 0, "report": report}
        # Whatever could be there, of whatever profile.
        text = b"".join(content for path, content in files.items() if path.endswith(".toml")).decode()
        keys = sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text)))
        ran = run(secretspec, directory, ["run", *chosen, "--", sys.executable, "-c", SHOW, ",".join(keys)])
        result["given"] = json.loads(ran.stdout) if ran.returncode == 0 else None
        return result


def main():
    secretspec = program()
    recorded = {}
    for name, files in cases((HERE / "corpus.txt").read_text()):
        runs = files.pop("runs", b"default\n").decode().splitlines()
        recorded[name] = [record(secretspec, files, line) for line in runs]
    text = json.dumps({"secretspec": VERSION, "cases": recorded}, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / "recorded.json").write_text(text + "\n")
    print(f"{len(recorded)} cases, {sum(map(len, recorded.values()))} runs")


main()
