//! What does not work yet, or never will: how it fails, and that the value is nowhere then.

use crate::client::{has, installed, processor, run, world};

/// A client that goes past its broker: the host gets a placeholder, which it refuses as any wrong key.
#[track_caller]
fn goes_past(test: &str, command: &[&str], variables: &[(&str, &str)]) {
    let Some(world) = world(test, &["bearer"]) else { return };
    let url = world.url("/v1/echo");
    let output = run(&world, variables, &[command, &[&url]].concat());
    assert_eq!(output.code, Some(0), "{}{}", output.out(), output.err());
    let seen = world.origin.last();
    assert!(seen.header("authorization").unwrap().starts_with("Bearer sk-proj-ssdph"), "{}", seen.whole());
    assert_eq!(world.origin.seen().len(), 1);
}

/// Code for Python that goes past its broker.
#[track_caller]
fn python_goes_past(test: &str, code: &str) {
    let Some(python) = installed(test, "python/bin/python") else { return };
    let code = format!(
        "import os, sys; headers = {{'Authorization': 'Bearer ' + os.environ['KEY']}}; url = sys.argv[1]\n{code}"
    );
    goes_past(test, &[&python, "-c", &code], &[]);
}

#[test]
fn aiohttp_without_trust_env() {
    let code = "
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        await session.get(url, headers=headers)
asyncio.run(main())";
    python_goes_past("unsupported::aiohttp_without_trust_env", code);
}

#[test]
fn http_client() {
    let code = "
import http.client, urllib.parse
parts = urllib.parse.urlsplit(url)
connection = http.client.HTTPSConnection(parts.netloc)
connection.request('GET', parts.path, headers=headers)
connection.getresponse()";
    python_goes_past("unsupported::http_client", code);
}

#[test]
fn urllib3() {
    let code = "import urllib3; urllib3.PoolManager().request('GET', url, headers=headers)";
    python_goes_past("unsupported::urllib3", code);
}

#[test]
fn an_agent_of_its_own_in_node() {
    let test = "unsupported::an_agent_of_its_own_in_node";
    let Some(node) = installed(test, &format!("node/node_modules/node-linux-{}/bin/node", processor()))
    else {
        return;
    };
    let code = "
const https = require('node:https');
const headers = { Authorization: `Bearer ${process.env.KEY}` };
// It does not know the host's own authority: the file of authorities beside Node's own is the broker's.
const agent = new https.Agent({ ca: require('fs').readFileSync(process.env.SSL_CERT_FILE) });
https.get(process.argv[1], { headers, agent });";
    goes_past(test, &[&node, "-e", code], &[]);
}

#[test]
fn streams_of_php() {
    let test = "unsupported::streams_of_php";
    if has(test, &["php", "-r", ""]) {
        let code = "
$options = ['http' => ['header' => 'Authorization: Bearer ' . getenv('KEY')]];
echo file_get_contents($argv[1], false, stream_context_create($options));";
        goes_past(test, &["php", "-r", code], &[]);
    }
}
