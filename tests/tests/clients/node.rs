//! Clients for Node and its kin.

use crate::client::{SAID, bore, carried, file, has, installed, processor, run, says, world};
use crate::world::World;

/// A world with this site, a Node that reads the environment's proxy, and where the packages are.
fn ready(test: &str, site: &str) -> Option<(World, String, String)> {
    let node = installed(test, &format!("node/node_modules/node-linux-{}/bin/node", processor()))?;
    let packages = installed(test, "node/node_modules")?;
    Some((world(test, &[site])?, node, packages))
}

/// Has a program ask for this URL.
#[track_caller]
fn asks(test: &str, site: &str, program: &str, path: &str, answer: &str) -> Option<World> {
    let (world, node, packages) = ready(test, site)?;
    let program = file(program);
    let command = [&node, program.to_str().unwrap(), &world.url(path)];
    says(&world, &[("NODE_PATH", &packages)], &command, answer);
    Some(world)
}

#[test]
fn openai() {
    let answer = format!("whole: {SAID}\nstream: {SAID}\n");
    let Some(world) = asks("node::openai", "bearer", "ask_openai.js", "/v1", &answer) else { return };
    bore(&world, 2);
}

#[test]
fn anthropic() {
    let answer = format!("whole: {SAID}\nstream: {SAID}\n");
    let Some(world) = asks("node::anthropic", "bearer", "ask_anthropic.js", "", &answer) else {
        return;
    };
    bore(&world, 2);
}

#[test]
fn fetch_and_https() {
    let Some(world) = asks("node::fetch_and_https", "bearer", "ask_fetch.js", "/v1/echo", "https: 200")
    else {
        return;
    };
    bore(&world, 2);
}

#[test]
fn axios() {
    let Some(world) = asks("node::axios", "bearer", "ask_axios.js", "/v1/echo", "200 {\"body\":") else {
        return;
    };
    bore(&world, 1);
}

#[test]
fn undici() {
    let Some(world) = asks("node::undici", "bearer", "ask_undici.js", "/v1/echo", "request: 200") else {
        return;
    };
    bore(&world, 2);
}

/// An older Node goes past the broker: the host does not get the value.
#[test]
fn fetch_before_24() {
    let test = "node::fetch_before_24";
    let is_old = "process.exit(Number(process.versions.node.split('.')[0]) < 22 ? 0 : 1)";
    if !has(test, &["node", "-e", is_old]) {
        return;
    }
    let Some(world) = world(test, &["bearer"]) else { return };
    let program = file("ask_fetch.js");
    // It goes straight to the host, whose authority it does not know.
    let output = run(&world, &[], &["node", program.to_str().unwrap(), &world.url("/v1/echo")]);
    assert_ne!(output.code, Some(0));
    carried(&world, 0);
    // axios has a proxy of its own.
    let Some(packages) = installed(test, "node/node_modules") else { return };
    let program = file("ask_axios.js");
    let command = ["node", program.to_str().unwrap(), &world.url("/v1/echo")];
    says(&world, &[("NODE_PATH", &packages)], &command, "200 {\"body\":");
    bore(&world, 1);
}

#[test]
fn deno() {
    let test = "node::deno";
    let Some(deno) = installed(test, &format!("node/node_modules/@deno/linux-{}-glibc/deno", processor()))
    else {
        return;
    };
    let Some(world) = world(test, &["bearer"]) else { return };
    let code = "const headers = { Authorization: `Bearer ${Deno.env.get('KEY')}` }; const answer = await fetch(Deno.args[0], { headers }); console.log(answer.status, await answer.text());";
    let program = world.env.private_file("ask.ts", code);
    let command = [&deno, "run", "--quiet", "--allow-all", program.to_str().unwrap(), &world.url("/v1/echo")];
    says(&world, &[("NO_COLOR", "1")], &command, "200 {\"body\":");
    bore(&world, 1);
}

#[test]
fn bun() {
    let test = "node::bun";
    let processor = if processor() == "arm64" { "aarch64" } else { "x64" };
    let Some(bun) = installed(test, &format!("node/node_modules/@oven/bun-linux-{processor}/bin/bun")) else {
        return;
    };
    let Some(world) = world(test, &["bearer"]) else { return };
    let program = file("ask_fetch.js");
    says(&world, &[], &[&bun, program.to_str().unwrap(), &world.url("/v1/echo")], "https: 200");
    bore(&world, 2);
}
