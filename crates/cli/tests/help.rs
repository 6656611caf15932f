//! The command line as a person sees it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lore"))
        .args(command)
        .arg("--help")
        // The width of the terminal that runs the tests must not matter.
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn help_of_every_command() {
    let top = help(&[]);
    insta::assert_snapshot!("lore", top);
    let commands = listed(&top);
    assert_eq!(commands.len(), 21, "{commands:?}");
    for command in &commands {
        let text = help(&[command]);
        insta::assert_snapshot!(format!("lore-{command}"), text);
        for below in listed(&text) {
            insta::assert_snapshot!(format!("lore-{command}-{below}"), help(&[command, &below]));
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_a_failure_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_lore"))
            .args(args)
            .env("LORE_DATA_DIR", folder.path())
            .env_remove("LORE_CONFIG")
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let output = run(&["serve", "--lisen", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--listen"), "{output:?}");

    std::fs::write(folder.path().join("lore.yaml"), "limits:\n  question_char: 3\n").unwrap();
    let output = run(&["keys", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.starts_with("error: ")
            && error.ends_with(
                "lore.yaml, line 2: unknown key `question_char`; did you mean `question_chars`?\n"
            ),
        "{error}"
    );
}
