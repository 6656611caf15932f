//! The server on a socket: its end, its limits, and where it may listen.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lore_core::Limits;
use lore_server::{HttpConfig, Options, ServeError, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{World, form, keyed_options, open_options};

pub struct Server {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub ended: JoinHandle<Result<(), ServeError>>,
}

pub async fn start(world: &World) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(listener, world.state.clone(), async {
        let _ = stopped.await;
    }));
    Server { address, stop, ended }
}

fn with_http(http: HttpConfig) -> Options {
    Options { http, ..open_options() }
}

/// Everything that comes until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

const FEEDBACK: &str = r#"{"question":"a","answer":"b","rating":"up"}"#;

/// A request whose body is still to come.
async fn half_a_request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/feedback HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        FEEDBACK.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body once the handler reads it: then the request runs.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn requests_are_answered_over_a_socket() {
    let world = World::without_engine(open_options());
    let server = start(&world).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"status\":\"ok\""), "{answer}");
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the port must be free");
}

#[tokio::test]
async fn what_runs_may_end() {
    let world = World::without_engine(open_options());
    let server = start(&world).await;
    let mut stream = half_a_request(server.address).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    while world.state.lifecycle().reasons().is_empty() {
        tokio::task::yield_now().await;
    }
    world.get("/readyz").await.expect(503);
    stream.write_all(FEEDBACK.as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert_eq!(rest(idle).await, "");
    server.ended.await.unwrap().unwrap();
    assert_eq!(world.catalog.feedback(10).unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let world = World::without_engine(with_http(HttpConfig { grace_seconds: 0, ..HttpConfig::default() }));
    let server = start(&world).await;
    let stream = half_a_request(server.address).await;
    let started = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn headers_that_do_not_come_close_the_connection() {
    let world = World::without_engine(with_http(HttpConfig { header_seconds: 1, ..HttpConfig::default() }));
    let server = start(&world).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localh").await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), rest(stream)).await.unwrap();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let world = World::without_engine(with_http(HttpConfig { body_seconds: 1, ..HttpConfig::default() }));
    let server = start(&world).await;
    let stream = half_a_request(server.address).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), rest(stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

/// Most clients read the answer only once they have sent everything.
#[tokio::test]
async fn a_refused_upload_is_read_to_its_end_and_told_why() {
    let limits = Limits { document_bytes: 10 << 20, ..Limits::default() };
    let world = World::without_engine(Options { limits, ..open_options() });
    let server = start(&world).await;
    for (name, megabytes, extra, status, code) in [
        ("a.txt", 16, "", "413", "too_large"),
        ("a.exe", 8, "", "415", "unsupported_media_type"),
        ("a.txt", 8, "Authorization: Bearer lore_a_b\r\n", "401", "unauthorized"),
    ] {
        let (kind, body) = form(&[("file", Some(name), &vec![b'x'; megabytes << 20])]);
        let head = format!(
            "POST /v1/documents HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{extra}Content-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            server.address,
            body.len()
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(code), "{answer}");
    }
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_place() {
    let http = HttpConfig { write_seconds: 1, connections: 1, ..HttpConfig::default() };
    let world = World::without_engine(with_http(http));
    let server = start(&world).await;
    let mut deaf = TcpStream::connect(server.address).await.unwrap();
    let requests = format!("GET /openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).repeat(1000);
    let refused = async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap();
    // The only place is free again.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), rest(stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn beyond_loopback_keys_are_a_must() {
    let listen = || TcpListener::bind("0.0.0.0:0");
    let open = World::without_engine(open_options());
    let refused = serve(listen().await.unwrap(), open.state.clone(), std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::Open { .. })), "{refused:?}");

    let keyed = World::without_engine(keyed_options());
    let refused = serve(listen().await.unwrap(), keyed.state.clone(), std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::NoKeys { .. })), "{refused:?}");
    let (id, _) = keyed.key(&[], true);
    serve(listen().await.unwrap(), keyed.state.clone(), std::future::ready(())).await.unwrap();
    keyed.catalog.revoke_key(&id).unwrap();
    let refused = serve(listen().await.unwrap(), keyed.state.clone(), std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::NoKeys { .. })), "{refused:?}");
}
