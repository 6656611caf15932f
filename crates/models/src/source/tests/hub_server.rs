//! A small hub on the loopback: file tree, files with ranges, and the ways in which a hub goes wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use lore_core::ids::hex;

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Default)]
pub(super) struct Behaviour {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The next transfer of this file ends after so many bytes.
    pub cut: Option<(String, usize)>,
    /// Accepts connections and says nothing.
    pub silent: bool,
    /// Answers everything with this.
    pub status: Option<u16>,
    /// Knows no ranges.
    pub no_range: bool,
    /// Names the hash of this file as large storage does.
    pub linked: Option<(String, Vec<u8>)>,
    /// Files are sent only while this is open.
    pub closed: bool,
    /// Request lines with their range.
    pub seen: Vec<String>,
}

pub(super) struct HubServer {
    address: SocketAddr,
    shared: Arc<(Mutex<Behaviour>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl HubServer {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::new(behaviour), Condvar::new()));
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // The server itself holds one of the two; when the other is gone, so is the test.
                if Arc::strong_count(&inner) == 1 {
                    break;
                }
                if inner.0.lock().unwrap().silent {
                    kept.push(stream);
                    continue;
                }
                let inner = Arc::downgrade(&inner);
                std::thread::spawn(move || {
                    if let Some(inner) = inner.upgrade() {
                        let _ = answer(stream, &inner);
                    }
                });
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn set(&self) -> MutexGuard<'_, Behaviour> {
        self.shared.1.notify_all();
        self.shared.0.lock().unwrap()
    }

    pub(super) fn open(&self) {
        self.set().closed = false;
        self.shared.1.notify_all();
    }

    /// Requests whose line has all of these words.
    pub(super) fn count(&self, words: &[&str]) -> usize {
        self.set().seen.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.open();
        self.set().silent = false;
        self.shared = Arc::default();
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, shared: &(Mutex<Behaviour>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut range = None;
    loop {
        let mut line = String::new();
        reader.by_ref().take(8192).read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(from) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = from.trim().trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut state = shared.0.lock().unwrap();
    state.seen.push(format!("{method} {path} from={}", range.unwrap_or(0)));
    if let Some(status) = state.status {
        return head(&mut out, status, &[("content-length", "0".to_owned())]);
    }
    if path.starts_with("/api/models/") && path.contains("/tree/") {
        let body = tree(&state.files);
        head(&mut out, 200, &[("content-length", body.len().to_string())])?;
        return out.write_all(body.as_bytes());
    }
    let file = path.split_once("/resolve/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, file)| file);
    let Some((name, body)) = file.and_then(|file| state.files.get_key_value(file)) else {
        return head(&mut out, 404, &[("content-length", "0".to_owned())]);
    };
    let (name, body) = (name.clone(), body.clone());
    let mut headers = vec![("x-repo-commit", COMMIT.to_owned())];
    if let Some((_, hash)) = state.linked.as_ref().filter(|(linked, _)| *linked == name) {
        headers.push(("x-linked-etag", format!("\"{}\"", hex(hash))));
    }
    if method == "HEAD" {
        headers.push(("content-length", body.len().to_string()));
        return head(&mut out, 200, &headers);
    }
    while state.closed && name == "model.safetensors" {
        state = shared.1.wait(state).unwrap();
    }
    let from = if state.no_range { 0 } else { range.unwrap_or(0) };
    if from > body.len() {
        return head(&mut out, 416, &[("content-length", "0".to_owned())]);
    }
    let rest = &body[from..];
    let cut = state.cut.take_if(|(cut, _)| *cut == name).map(|(_, after)| after);
    drop(state);
    headers.push(("content-length", rest.len().to_string()));
    if range.is_some() && from > 0 {
        headers.push(("content-range", format!("bytes {from}-{}/{}", body.len() - 1, body.len())));
    }
    head(&mut out, if range.is_some() && from > 0 { 206 } else { 200 }, &headers)?;
    out.write_all(&rest[..cut.unwrap_or(rest.len()).min(rest.len())])
}

fn head(out: &mut TcpStream, status: u16, headers: &[(&str, String)]) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    out.write_all((text + "\r\n").as_bytes())
}

fn tree(files: &BTreeMap<String, Vec<u8>>) -> String {
    let entry = |(path, body): (&String, &Vec<u8>)| {
        let mut entry = serde_json::json!({"type": "file", "oid": "0", "size": body.len(), "path": path});
        if path.ends_with(".safetensors") {
            entry["lfs"] = serde_json::json!({"oid": "0", "size": body.len(), "pointerSize": 100});
        }
        entry
    };
    serde_json::Value::Array(files.iter().map(entry).collect()).to_string()
}
