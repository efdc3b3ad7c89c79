//! Deadlines, limits, and the end.

use super::*;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[tokio::test]
async fn one_connection_serves_many_requests_also_refused_and_pipelined_ones() {
    let running = Running::new();
    let mut client = running.connect();
    let body = "x".repeat(100_000);
    let refused = format!("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for (request, status) in [(HEALTH, 200), (refused.as_str(), 401), (HEALTH, 200)] {
        client.send(request).await;
        assert_eq!(client.reply().await.unwrap().status, status);
    }
    client.send(format!("{HEALTH}{HEALTH}")).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    assert_eq!(client.reply().await.unwrap().status, 200);
}

#[tokio::test]
async fn who_has_sent_all_still_gets_every_answer() {
    let running = Running::new();
    for _ in 0..20 {
        let mut client = running.connect();
        client.send(HEALTH.repeat(100)).await;
        client.0.shutdown().await.unwrap();
        for _ in 0..100 {
            assert_eq!(client.reply().await.unwrap().status, 200);
        }
        assert!(client.ends().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let running = Running::new();
    let mut silent = running.connect();
    let start = tokio::time::Instant::now();
    assert!(silent.ends().await);
    assert_eq!(start.elapsed().as_secs(), 5);

    let mut slow = running.connect();
    let start = tokio::time::Instant::now();
    for byte in HEALTH.as_bytes() {
        if slow.0.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(slow.reply().await.is_none());
    assert!(start.elapsed().as_secs() <= 7, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while_and_a_second_head_has_its_own_deadline() {
    let running = Running::new();
    let mut client = running.connect();
    client.send(HEALTH).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_secs(50)).await;
    client.send(HEALTH).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    let start = tokio::time::Instant::now();
    assert!(client.ends().await);
    assert_eq!(start.elapsed().as_secs(), 60);

    let mut client = running.connect();
    client.send(HEALTH).await;
    assert_eq!(client.reply().await.unwrap().status, 200);
    client.send("GET /").await;
    let start = tokio::time::Instant::now();
    assert!(client.reply().await.is_none());
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_answered_and_the_connection_ends() {
    let running = Running::new();
    let start = tokio::time::Instant::now();
    let json = "Content-Type: application/json\r\n";
    let whole = owner("POST", "/api/v1/user/secrets", json, "{}");
    let mut client = running.connect();
    client.send(&whole[..whole.len() - 1]).await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.error(), (400, "invalid_request_error".to_owned()));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(client.ends().await);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_deadline_as_a_whole() {
    let limits = Limits { request: Duration::from_secs(3), ..Limits::default() };
    let running = Running::with(limits, uid());
    let whole = owner("POST", "/api/v1/user/secrets", "", "{}");
    let mut client = running.connect();
    client.send(&whole[..whole.len() - 1]).await;
    assert_eq!(client.reply().await.unwrap().error(), (504, "gateway_timeout_error".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_waited_for() {
    let running = Running::new();
    let mut client = running.connect();
    // More answers than the socket holds.
    let many = HEALTH.repeat(100);
    while let Ok(Ok(())) =
        tokio::time::timeout(Duration::from_secs(1), client.0.write_all(many.as_bytes())).await
    {}
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(client.0.write_all(many.as_bytes()).await.is_err());
}

#[tokio::test]
async fn another_user_is_told_so_and_nothing_else() {
    let running = Running::with(Limits::default(), uid() + 1);
    let mut client = running.connect();
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.error(), (403, "forbidden_error".to_owned()));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(client.ends().await);
}

#[tokio::test]
async fn connections_are_limited_and_those_that_end_make_room() {
    let limits = Limits { connections_per_process: 2, ..Limits::default() };
    let running = Running::with(limits, uid());
    let (mut first, mut second) = (running.connect(), running.connect());
    for client in [&mut first, &mut second] {
        client.send(HEALTH).await;
        assert_eq!(client.reply().await.unwrap().status, 200);
    }
    let mut third = running.connect();
    let reply = third.reply().await.unwrap();
    assert_eq!(reply.error(), (429, "rate_limit_error".to_owned()));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(third.ends().await);
    first.send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(first.reply().await.unwrap().status, 200);
    assert!(first.ends().await);
    assert_eq!(running.ask(HEALTH).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_failing_accept_ends_nothing() {
    let running = Running::new();
    for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NOMEM, rustix::io::Errno::CONNABORTED] {
        running.door.send(Err(errno.into())).unwrap();
    }
    assert_eq!(running.ask(HEALTH).await.status, 200);
}

#[tokio::test]
async fn heads_are_limited() {
    let running = Running::new();
    let many = "a: b\r\n".repeat(64);
    let reply = running.ask(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n")).await;
    assert_eq!(reply.error(), (400, "invalid_request_error".to_owned()));
    let reply = running.ask(format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}{many}\r\n")).await;
    assert_eq!(reply.status, 431);
    let long = "b".repeat(17_000);
    let reply = running.ask(format!("GET /healthz HTTP/1.1\r\nHost: x\r\na: {long}\r\n\r\n")).await;
    assert_eq!(reply.status, 431);
    let large = "b".repeat(15_000);
    let reply = running.ask(format!("GET /healthz HTTP/1.1\r\nHost: x\r\na: {large}\r\n\r\n")).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let running = Running::new();
    let reply = running.ask("\x16\x03\x01 hello\r\n\r\n").await;
    assert_eq!(reply.status, 400);
}

#[tokio::test(start_paused = true)]
async fn the_end_lets_requests_finish_and_closes_idle_connections() {
    let mut running = Running::new();
    let mut idle = running.connect();
    idle.send(HEALTH).await;
    assert_eq!(idle.reply().await.unwrap().status, 200);
    let mut busy = running.connect();
    let whole = owner("GET", "/healthz", "Expect: 100-continue\r\n", "{}");
    let (start, end) = whole.split_at(whole.len() - 1);
    busy.send(start).await;
    assert_eq!(busy.reply().await.unwrap().status, 100);
    running.stop.take().unwrap().send(()).unwrap();
    assert!(idle.ends().await);
    busy.send(end).await;
    assert_eq!(busy.reply().await.unwrap().status, 200);
    running.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_ever() {
    let mut running = Running::new();
    let mut busy = running.connect();
    let whole = owner("GET", "/healthz", "Expect: 100-continue\r\n", "{}");
    busy.send(&whole[..whole.len() - 1]).await;
    assert_eq!(busy.reply().await.unwrap().status, 100);
    let start = tokio::time::Instant::now();
    running.stop.take().unwrap().send(()).unwrap();
    running.server.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_just_connected_is_answered_at_the_end() {
    let mut running = Running::new();
    let (mut late, mut silent, mut idle) = (running.connect(), running.connect(), running.connect());
    idle.send(HEALTH).await;
    assert_eq!(idle.reply().await.unwrap().status, 200);
    running.stop.take().unwrap().send(()).unwrap();
    let start = tokio::time::Instant::now();
    // One that had its answer does not wait.
    assert!(idle.ends().await);
    assert!(start.elapsed().is_zero());
    late.send(HEALTH).await;
    assert_eq!(late.reply().await.unwrap().status, 200);
    assert!(silent.ends().await && late.ends().await);
    assert!((100..=110).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}
