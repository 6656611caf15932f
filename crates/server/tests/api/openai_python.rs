//! The official `openai` package of Python against a live server on the loopback.
//!
//! The package is fetched once with the user's own pip and kept beside the build. Where Python, pip or the package cannot
//! be had, the test says so and passes, unless `LORE_TEST_OPENAI=required` is set, as in CI.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::model::{MODEL, echo, model};
use crate::openai_chat::HANDBOOK;
use crate::serving::start;
use crate::support::{World, open_options};

const CLIENT: &str = include_str!("openai_client.py");
/// The first that comes with what the script uses.
const PACKAGE: &str = "openai>=1.60";

#[tokio::test]
async fn the_official_package_works_against_it() {
    let (python, packages) = match tokio::task::spawn_blocking(package).await.unwrap() {
        Ok(found) => found,
        Err(reason) => {
            let required = std::env::var("LORE_TEST_OPENAI").is_ok_and(|value| value == "required");
            assert!(!required, "{reason}");
            eprintln!("SKIPPED: the openai package was not tried: {reason}");
            return;
        }
    };
    let (generator, requests) = model(8);
    tokio::spawn(echo(requests));
    let world = World::with_generator(open_options(), generator).await;
    world.publish("handbook.md", HANDBOOK, &[]).await;
    let server = start(&world).await;
    let url = format!("http://{}/v1", server.address);
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python);
        command.args(["-c", CLIENT, &url, MODEL]).env("PYTHONPATH", packages);
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        // Settings of the person's own must not lead elsewhere.
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"]
        {
            command.env_remove(name);
        }
        command.output().unwrap()
    });
    let ran = ran.await.unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(said(&ran).contains("all well"), "{}", said(&ran));
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

/// A Python, and a folder that has the package for it.
fn package() -> Result<(&'static str, PathBuf), String> {
    let version = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"];
    let (python, version) = ["python3", "python"]
        .into_iter()
        .find_map(|python| {
            let out = run(Command::new(python).args(version)).ok()?;
            Some((python, out.trim().to_owned()))
        })
        .ok_or("there is no python3")?;
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = beside.join(format!("openai-python-{version}"));
    if !folder.exists() {
        // Whole or not there at all, also when two tests come at once.
        let parts = tempfile::tempdir_in(beside).map_err(|error| error.to_string())?;
        let target = parts.path().join("packages");
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        pip.args(["--retries", "1", "--timeout", "30", "--only-binary", ":all:", "--target"])
            .arg(&target)
            .arg(PACKAGE);
        run(&mut pip)?;
        if let Err(error) = std::fs::rename(&target, &folder)
            && !folder.exists()
        {
            return Err(error.to_string());
        }
    }
    Ok((python, folder))
}

fn run(command: &mut Command) -> Result<String, String> {
    let out = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if out.status.success() { Ok(said(&out)) } else { Err(format!("{command:?}: {}", said(&out))) }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}
