//! `lore keys`: API keys.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use lore_index::{ApiKey, NewKey};
use serde::Serialize;

use crate::settings::Settings;
use crate::{open, print, progress};

/// Create, list and revoke API keys
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key and show it, this once
    Create {
        /// What it is for
        #[arg(long, default_value = "unnamed")]
        name: String,
        /// Groups whose documents it may read
        #[arg(long = "group", alias = "groups", value_name = "GROUP", value_delimiter = ',', value_parser = group)]
        groups: Vec<String>,
        /// May manage documents, keys and jobs, and read everything
        #[arg(long)]
        admin: bool,
    },
    /// List keys, revoked ones too
    List,
    /// Revoke a key; it stops working at once
    Revoke {
        /// Id of the key, as `lore keys list` shows it
        id: String,
    },
}

/// Longest name of a group in bytes, as in the HTTP API.
const GROUP_BYTES: usize = 128;

/// A group's name, without blanks around it.
///
/// # Errors
/// Says what a name may be, where it is empty (a variable that is not set, perhaps), long or has control characters.
pub fn group(text: &str) -> Result<String, String> {
    let name = text.trim();
    if (1..=GROUP_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(format!("a group's name has 1 to {GROUP_BYTES} bytes"))
    }
}

#[derive(Serialize)]
struct Created<'a> {
    #[serde(flatten)]
    key: &'a ApiKey,
    secret: &'a str,
}

impl Keys {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails where the catalog does, and on an unknown id.
    pub async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let json = settings.json;
        let catalog = open::catalog(&settings).await?;
        match self {
            Keys::Create { name, groups, admin } => {
                let wanted = NewKey { name, groups: groups.into_iter().collect(), admin };
                let (key, secret) = open::blocking(move || catalog.create_key(&wanted)).await?;
                if json {
                    print::json(&Created { key: &key, secret: &secret })?;
                } else {
                    progress::say("this key is not shown again; send it as `Authorization: Bearer KEY`");
                    print::line(&secret)?;
                }
            }
            Keys::List => {
                let keys = open::blocking(move || catalog.keys()).await?;
                if json {
                    print::json(&keys)?;
                } else {
                    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
                    print::table(&["id", "name", "groups", "rights", "made", "last used", "state"], &rows)?;
                }
            }
            Keys::Revoke { id } => {
                // The whole key is taken too: that is what somebody who found one somewhere has.
                let id = id.strip_prefix("lore_").and_then(|k| k.split('_').next()).unwrap_or(&id).to_owned();
                let named = id.clone();
                if !open::blocking(move || catalog.revoke_key(&named)).await? {
                    bail!("there is no key {id}; `lore keys list` shows them");
                }
                progress::say(&format!("revoked {id}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(key: &ApiKey) -> Vec<String> {
    let day = |at: &jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
    vec![
        key.id.clone(),
        key.name.clone(),
        key.groups.iter().cloned().collect::<Vec<_>>().join(","),
        if key.admin { "admin".into() } else { "read".into() },
        day(&key.created_at),
        key.last_used_at.as_ref().map_or_else(|| "-".into(), day),
        key.revoked_at.as_ref().map_or_else(|| "active".into(), |at| format!("revoked {}", day(at))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_trimmed_and_never_empty() {
        assert_eq!(group(" board ").as_deref(), Ok("board"));
        for bad in ["", "  ", "a\u{7}b", &"x".repeat(129)] {
            assert!(group(bad).is_err(), "{bad:?}");
        }
    }
}
