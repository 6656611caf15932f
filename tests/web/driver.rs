//! chromedriver and a session of headless Chromium; both end with the value, however the test ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest that chromedriver may take to start.
const START: Duration = Duration::from_secs(30);
/// The shell runs chromedriver for as long as this process holds its stdin: a test that is killed leaves nothing behind.
const GUARD: &str = r#""$@" & child=$!; read line; kill $child; wait $child"#;

/// Where the browser and its driver are.
pub struct Programs {
    browser: PathBuf,
    driver: PathBuf,
}

impl Programs {
    /// Looks for them; where one is missing, says that the test is skipped, unless `LORE_TEST_BROWSER=required`.
    ///
    /// # Panics
    /// Where they are required and missing.
    pub fn find(test: &str) -> Option<Self> {
        let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path);
        let missing = match (browser, on_path("chromedriver")) {
            (Some(browser), Some(driver)) => return Some(Self { browser, driver }),
            (None, _) => "chromium",
            (_, None) => "chromedriver",
        };
        let required = std::env::var("LORE_TEST_BROWSER").is_ok_and(|value| value == "required");
        assert!(
            !required,
            "LORE_TEST_BROWSER=required, and there is no {missing}; Debian: chromium, chromium-driver"
        );
        eprintln!(
            "skipped: {test}: there is no {missing}; Debian's packages are chromium and chromium-driver"
        );
        None
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A running chromedriver.
pub struct Driver {
    guard: Child,
    url: String,
    profile: TempDir,
    browser: PathBuf,
}

impl Driver {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(programs: Programs) -> Self {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(programs.driver)
            .arg("--port=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = guard.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        // Read to its end, since a driver that cannot write waits.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(port) = line.split("successfully on port ").nth(1) {
                    let _ = tell.send(port.trim_end_matches('.').to_owned());
                }
            }
        });
        let mut driver =
            Self { guard, url: String::new(), profile: TempDir::new().unwrap(), browser: programs.browser };
        let port = told.recv_timeout(START).expect("chromedriver does not say where it is");
        driver.url = format!("http://127.0.0.1:{port}");
        driver
    }

    /// Opens a session.
    pub async fn session(&self) -> Client {
        let capabilities = capabilities(&self.browser, self.profile.path());
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        builder.connect(&self.url).await.unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn capabilities(browser: &Path, profile: &Path) -> Value {
    let mut args = vec![
        "--headless=new".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--force-color-profile=srgb".to_owned(),
        "--js-flags=--expose-gc".to_owned(),
        "--enable-precise-memory-info".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    if rustix::process::geteuid().is_root() {
        args.push("--no-sandbox".to_owned());
    }
    json!({
        "browserName": "chrome",
        "unhandledPromptBehavior": "ignore",
        "timeouts": {"script": 120_000, "pageLoad": 60_000},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:chromeOptions": {"binary": browser, "args": args, "prefs": {"intl.accept_languages": "en-US"}},
    })
}

/// A command that chromedriver knows beside the standard's.
#[derive(Debug)]
pub struct Own {
    /// Below the session.
    pub path: &'static str,
    /// Its parameters.
    pub body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(
        &self,
        base: &reqwest::Url,
        session: Option<&str>,
    ) -> Result<reqwest::Url, <reqwest::Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &reqwest::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(self.body.to_string()))
    }
}
