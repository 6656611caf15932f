//! A chat as text, by a Jinja template as transformers' `apply_chat_template` renders it.

use std::collections::BTreeMap;
use std::fmt::Write;

use lore_core::generate::{ChatOptions, Message};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::error::ModelsError;

/// Steps of the template's program that a rendering may take: a template that loops for ever ends in an error.
const FUEL: u64 = 20_000_000;

/// A chat template, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// The variables that every rendering has, such as `bos_token`.
    names: BTreeMap<String, Value>,
}

impl ChatTemplate {
    /// Compiles a template; `names` are variables such as `bos_token`.
    ///
    /// # Errors
    /// When it is not valid Jinja.
    pub fn new(source: &str, names: impl IntoIterator<Item = (String, String)>) -> Result<Self, ModelsError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Bool => {
                out.write_str(if value.is_true() { "True" } else { "False" }).map_err(Error::from)
            }
            ValueKind::None => out.write_str("None").map_err(Error::from),
            _ => minijinja::escape_formatter(out, state, value),
        });
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
        });
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_template_owned("chat", without_generation_tags(source)).map_err(|error| {
            ModelsError::Template {
                message: format!(
                    "the chat template is not valid: {}; name a file with another in the settings",
                    told(&error)
                ),
            }
        })?;
        let names = names.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
        Ok(Self { environment, names })
    }

    /// The chat as text.
    ///
    /// # Errors
    /// When the template refuses the messages or does something that is not implemented.
    pub fn render(&self, messages: &[Message], options: &ChatOptions) -> Result<String, ModelsError> {
        let mut variables = self.names.clone();
        variables.insert("messages".to_owned(), Value::from_serialize(messages));
        // Defined but none, as transformers passes them: templates ask `tools is not none`.
        variables.insert("tools".to_owned(), Value::from(()));
        variables.insert("documents".to_owned(), Value::from(()));
        variables.insert("add_generation_prompt".to_owned(), Value::from(options.open_answer));
        if let Some(thinking) = options.thinking {
            variables.insert("enable_thinking".to_owned(), Value::from(thinking));
        }
        let rendered = self.environment.get_template("chat").and_then(|template| template.render(variables));
        rendered.map_err(|error| ModelsError::Template {
            message: match raised(&error) {
                Some(message) => format!("the model's chat template refuses the chat: {message}"),
                None => format!(
                    "the model's chat template cannot be rendered: {}; name a file with another in the settings",
                    told(&error)
                ),
            },
        })
    }
}

/// What a template said by `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn raised(error: &Error) -> Option<&str> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return Some(message);
        }
        cause = error.source();
    }
    None
}

fn told(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    error.line().map_or(what.clone(), |line| format!("line {line}: {what}"))
}

/// transformers' `{% generation %}` marks what a model is trained on and writes nothing; as a comment it keeps its
/// white-space control.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let inner = &tag[2..end];
        let left = inner.chars().next().filter(|c| matches!(c, '-' | '+'));
        let right = inner.chars().last().filter(|c| *c == '-');
        let name = inner.trim_matches(['-', '+']).trim();
        if matches!(name, "generation" | "endgeneration") {
            out.push_str("{#");
            out.extend(left);
            out.push(' ');
            out.extend(right);
            out.push_str("#}");
        } else {
            out.push_str(tag);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The time now by `strftime`'s directives.
fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now()).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {error}"))
    })
}

/// `json.dumps(value, ensure_ascii=False)`, with `indent` where asked.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let value = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "tojson").with_source(error))?;
    let mut out = String::new();
    dump(&value, indent, 0, &mut out);
    Ok(out)
}

/// Python writes a space after `:` always, and after `,` unless it breaks the line.
fn dump(value: &serde_json::Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let comma = |at: usize, out: &mut String| {
        if at > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
    };
    match value {
        serde_json::Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                comma(at, out);
                line(depth + 1, out);
                dump(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        serde_json::Value::Object(entries) if !entries.is_empty() => {
            out.push('{');
            for (at, (key, item)) in entries.iter().enumerate() {
                comma(at, out);
                line(depth + 1, out);
                let _ = write!(out, "{}: ", serde_json::Value::from(key.as_str()));
                dump(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}
