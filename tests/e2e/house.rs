//! A data folder, a documents folder, and the binary run on them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary data folder and a temporary folder of documents.
pub struct House {
    dir: TempDir,
}

impl House {
    /// Empty folders; the embedder is in the cache afterwards.
    pub fn new() -> Self {
        static PULLED: OnceLock<()> = OnceLock::new();
        PULLED.get_or_init(|| {
            let dir = TempDir::new().unwrap();
            let out = command(dir.path()).args(["models", "pull"]).output().unwrap();
            assert!(out.status.success(), "no embedder: {}", String::from_utf8_lossy(&out.stderr));
        });
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("docs")).unwrap();
        Self { dir }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The folder of documents.
    pub fn docs(&self) -> PathBuf {
        self.dir.path().join("docs")
    }

    /// Writes a document.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.docs().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// `lore` on this data folder.
    pub fn lore(&self) -> Command {
        let mut command = command(&self.data());
        command.current_dir(self.dir.path());
        command
    }

    /// Runs `lore` with `args`.
    pub fn run(&self, args: &[&str]) -> Output {
        self.lore().args(args).output().unwrap()
    }

    /// Runs `lore` with `args`, which must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(out.status.success(), "lore {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs `lore` with `args`, which must fail; its standard error.
    pub fn fails(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(!out.status.success(), "lore {args:?} succeeded: {}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8(out.stderr).unwrap()
    }

    /// Runs `lore` with `args` and `--json`, whose output is one JSON value.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let out = self.ok(&all);
        serde_json::from_str(out.trim()).unwrap_or_else(|e| panic!("lore {all:?}: {e}: {out}"))
    }

    /// Ingests the folder of documents.
    pub fn ingest(&self) {
        self.ok(&["ingest", self.docs().to_str().unwrap(), "--prune"]);
    }

    /// Starts `lore` with `args`, which serves nothing and runs until it is stopped.
    pub fn run_on(&self, args: &[&str]) -> Server {
        let child = self.lore().args(args).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        Server { child, url: String::new(), token: String::new() }
    }

    /// Starts a server on a free port of loopback and waits until it is ready.
    pub fn serve(&self) -> Server {
        let server = self.start(&["serve"]);
        server.wait("readiness", Server::is_ready);
        server
    }

    /// Starts a server with `args` on a free port of loopback and waits until it says where it is.
    pub fn start(&self, args: &[&str]) -> Server {
        let info = self.data().join("owner.json");
        let _ = std::fs::remove_file(&info);
        let child = self
            .lore()
            .args(args)
            .args(["--listen", "127.0.0.1:0", "--log", "error", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut server = Server { child, url: String::new(), token: String::new() };
        let since = Instant::now();
        while !server.finds(&info) {
            assert!(server.child.try_wait().unwrap().is_none(), "the server ended");
            assert!(since.elapsed() < PATIENCE, "the server does not say where it is");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        server
    }
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lore"));
    for name in [
        "LORE_CONFIG",
        "LORE_LISTEN",
        "LORE_QDRANT_URL",
        "LORE_QDRANT_API_KEY",
        "LORE_OFFLINE",
        "LORE_LOG",
        "LORE_GENERATOR",
    ] {
        command.env_remove(name);
    }
    command.env("LORE_DATA_DIR", data);
    command
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub token: String,
}

impl Server {
    fn finds(&mut self, owner: &Path) -> bool {
        let Ok(text) = std::fs::read_to_string(owner) else { return false };
        let Ok(owner) = serde_json::from_str::<Value>(&text) else { return false };
        let (Some(url), Some(token)) = (owner["url"].as_str(), owner["token"].as_str()) else { return false };
        self.url = url.to_owned();
        self.token = token.to_owned();
        true
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.try_send("GET", "/readyz", None, None).is_ok_and(|(status, _)| status == 200)
    }

    /// A request with JSON; status and JSON of the answer (null where there is none).
    pub fn send(&self, method: &str, path: &str, key: Option<&str>, body: Option<Value>) -> (u16, Value) {
        self.try_send(method, path, key, body).unwrap()
    }

    /// The same; an error where the server has gone.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut request = client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send()?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text()?).unwrap_or(Value::Null)))
    }

    /// Kills it (SIGKILL) after `time`, from a thread of its own; [`Server::send`] fails from then on.
    pub fn kill_after(&self, time: Duration) {
        let id = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        std::thread::spawn(move || {
            std::thread::park_timeout(time);
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        });
    }

    /// Asks a question; the answer.
    pub fn ask(&self, key: Option<&str>, question: &str) -> Value {
        let (status, answer) =
            self.send("POST", "/v1/ask", key, Some(serde_json::json!({ "question": question })));
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Waits until `condition` holds.
    pub fn wait(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let since = Instant::now();
        while !condition(self) {
            assert!(since.elapsed() < PATIENCE, "{what} did not come");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Ends it as an operator does (SIGTERM); whether it said that it went well.
    pub fn stop(mut self) -> bool {
        let id = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `command`, lets it run for `time`, kills it (SIGKILL), and gives the whole lines that it had printed, and
/// whether it was still running.
pub fn killed_after(mut command: Command, time: Duration) -> (Vec<String>, bool) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line.ends_with('\n') {
                lines.push(line.trim_end().to_owned());
            }
            line.clear();
        }
        lines
    });
    let since = Instant::now();
    while since.elapsed() < time && child.try_wait().unwrap().is_none() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let alive = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    (reader.join().unwrap(), alive)
}
