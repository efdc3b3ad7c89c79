//! A program that sends one request after the other: the broker asks the daemon now and then only, and all that holds of a
//! single request holds.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::process::{self, DEADLINE};
use serde_json::{Value, json};

use crate::world::World;

/// A program that sends the same request again and again, until one is refused.
struct Stream {
    child: Child,
    output: BufReader<ChildStdout>,
    session: String,
}

impl Stream {
    fn start(world: &World) -> Self {
        let url = world.url("/v1/echo?[1-1000000]");
        let script = format!(
            "echo $SECRETSD_PROXY; curl -sS --http1.1 --fail --fail-early -o /dev/null \
                -H \"Authorization: Bearer $KEY\" '{url}' 2>&1 | grep -o '40.'"
        );
        let mut command = world.command_with(&["-s", "KEY"], &["sh", "-c", &script]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut session = String::new();
        output.read_line(&mut session).unwrap();
        let stream = Self { child, output, session: session.trim().to_owned() };
        let end = Instant::now() + DEADLINE;
        while world.origin.seen().len() < 100 {
            assert!(Instant::now() < end, "no stream of requests");
            std::thread::sleep(Duration::from_millis(1));
        }
        stream
    }

    /// How the first request was answered that was no success.
    fn end(mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        process::wait(&mut self.child, DEADLINE);
        line.trim().to_owned()
    }
}

/// How many uses the log tells of, and whether that is exact: of a broker that was not in time, it tells the most.
fn counted(world: &World) -> (u64, bool) {
    let log = world.env.get("/audit?limit=1000").expect(200);
    let uses = log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use");
    let uses: Vec<&Value> = uses.filter(|entry| entry["outcome"] == "ok").collect();
    let is_exact = uses.iter().all(|entry| entry.get("reason").is_none_or(Value::is_null));
    (uses.iter().map(|entry| entry["count"].as_u64().unwrap_or(1)).sum(), is_exact)
}

#[track_caller]
fn assert_counted(world: &World, seen: usize, what: &str) {
    let (counted, is_exact) = counted(world);
    let seen = seen as u64;
    assert!(counted == seen || !is_exact && counted > seen, "{what}: {counted} of {seen}, {is_exact}");
}

#[test]
fn each_request_of_a_stream_is_counted() {
    let Some(world) = World::new("each_request_of_a_stream_is_counted") else { return };
    world.rule(&["--host", &world.host()]);
    let [one, other] = [world.url("/v1/echo?[1-100]"), world.url("/v1/other?[1-60]")];
    let curl = "curl -sS --http1.1 -o /dev/null -H \"Authorization: Bearer $KEY\"";
    let script = format!("{curl} '{one}' & {curl} -X POST '{one}'; {curl} --parallel '{other}'; wait");
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    assert_eq!(world.origin.seen().len(), 260);
    assert_counted(&world, 260, "a stream");
    // Not one by one.
    assert!(world.env.log().contains("/use/returns"));
    assert!(world.env.log().matches("route=\"/api/v1/use/take\"").count() < 250);
    let log = world.env.get("/audit?limit=1000").expect(200);
    let entries: Vec<&Value> =
        log["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "use").collect();
    let counted = entries.last().unwrap();
    assert_eq!(counted["used"]["methods"].as_array().unwrap().len(), 2);
    assert_eq!(counted["used"]["paths"].as_array().unwrap().len(), 2);
    world.assert_nowhere(&output);
}

#[test]
fn what_forbids_a_use_ends_a_stream_when_it_is_answered() {
    let test = "what_forbids_a_use_ends_a_stream_when_it_is_answered";
    /// What forbids uses, how the next is answered, and how it is done to a session.
    type Forbid = (&'static str, &'static str, fn(&World, &str));
    let forbid: [Forbid; 4] = [
        ("a lock", "403", |world, _| drop(world.env.post("/vault/lock", &Value::Null).expect(200))),
        ("a revocation", "401", |world, session| {
            let ended = world.env.request("DELETE", &format!("/use/sessions/{session}")).send();
            assert_eq!(ended.status, 204);
        }),
        ("a rule", "403", |world, _| {
            world.env.ctl(["proxy", "rule", "rm", "KEY", "1"]).expect(0);
        }),
        ("a value", "403", |world, _| {
            let secrets = world.env.get("/user/secrets?name=KEY").expect(200);
            let path = format!("/user/secrets/{}", secrets["secrets"][0]["id"].as_str().unwrap());
            let value = json!({ "value": "two\nlines" });
            world.env.request("PUT", &path).json(&value).send().expect(200);
        }),
    ];
    for (what, status, forbid) in forbid {
        let Some(world) = World::new(test) else { return };
        world.rule(&["--host", &world.host()]);
        let stream = Stream::start(&world);
        let session = stream.session.clone();
        forbid(&world, &session);
        let before = world.origin.seen().len();
        assert_eq!(stream.end(), status, "{what}");
        // One request may be on its way meanwhile.
        let seen = world.origin.seen().len();
        assert!(seen <= before + 1, "{what}: {} uses after it", seen - before);
        if what == "a lock" {
            world.env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
        }
        assert_counted(&world, seen, what);
    }
}
