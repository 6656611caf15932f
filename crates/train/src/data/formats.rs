//! A JSON object becomes a record, by the format's names or by the data set's own.

use lore_core::generate::Role;
use serde_json::{Map, Value};

use super::record::{Body, Record, Turn};
use super::{DatasetSpec, Format};
use crate::config::Stage;

/// Roles of columns that a data set may name.
pub(super) const COLUMNS: [&str; 10] =
    ["prompt", "query", "response", "history", "system", "tools", "messages", "text", "id", "documents"];
/// What a data set may call the fields and speakers of a conversation.
pub(super) const TAGS: [&str; 7] =
    ["role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"];

/// Names of fields and speakers.
#[derive(Clone, Debug)]
pub(super) struct Names {
    format: Format,
    prompt: String,
    query: String,
    response: String,
    history: String,
    system: String,
    tools: String,
    messages: String,
    text: String,
    id: String,
    documents: String,
    role: String,
    content: String,
    speakers: Vec<(String, Speaker)>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    System,
    User,
    Assistant,
    /// What a tool gave back.
    Observation,
}

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A text as it may stand in a message: short, and without what steers a terminal.
fn short(text: &str) -> String {
    let mut chars = text.chars();
    let shown: String = chars.by_ref().take(40).flat_map(char::escape_debug).collect();
    if chars.next().is_some() { format!("{shown}...") } else { shown }
}

/// The names of an object's fields, the first of them.
fn fields(object: &Map<String, Value>) -> String {
    let names: Vec<String> = object.keys().take(12).map(|name| short(name)).collect();
    names.join(", ")
}

/// The format of a file by the first value in it; `None` where that is of no known format.
pub fn format_of(first: &Value) -> Option<Format> {
    detect(first.as_object()?, &DatasetSpec::file("", "")).ok()
}

/// The format of a file by its first object.
///
/// # Errors
/// When its fields fit none.
pub(super) fn detect(object: &Map<String, Value>, spec: &DatasetSpec) -> Result<Format, String> {
    let named =
        |role: &str| spec.columns.iter().find(|(known, _)| known == role).map(|(_, name)| name.as_str());
    let has = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
    let list = named("messages").or_else(|| ["messages", "conversations"].into_iter().find(|name| has(name)));
    if let Some(turns) = list.and_then(|name| object.get(name)).and_then(Value::as_array) {
        let tagged = spec.columns.iter().find(|(tag, _)| tag == "role_tag").map(|(_, name)| name.as_str());
        let openai = tagged.map_or_else(
            || turns.first().is_some_and(|turn| turn.get("role").is_some()),
            |role| role == "role",
        );
        return Ok(if openai { Format::Messages } else { Format::Sharegpt });
    }
    let answered = ["output", "response", "completion", "answer"].into_iter().any(has)
        || named("response").is_some_and(has);
    let asked = ["instruction", "prompt"].into_iter().any(has) || named("prompt").is_some_and(has);
    match () {
        () if asked && answered => Ok(Format::Alpaca),
        () if has(named("text").unwrap_or("text")) => Ok(Format::Text),
        () if has("chosen") && has("rejected") => {
            Err("its lines have chosen and rejected answers, which the stages rm and dpo learn from; stage: sft needs one \
                 answer to a question"
                .to_owned())
        }
        () if asked => Ok(Format::Alpaca),
        () => Err(format!(
            "its fields [{}] are of no known format; name the format, or the columns in dataset_info.json",
            fields(object)
        )),
    }
}

impl Names {
    /// The format's names under the data set's; `first` decides between names that are used alike.
    pub(super) fn new(format: Format, spec: &DatasetSpec, first: &Map<String, Value>) -> Self {
        let given =
            |role: &str| spec.columns.iter().find(|(known, _)| known == role).map(|(_, name)| name.clone());
        let column = |role: &str, usual: &[&str]| {
            let usual = usual.iter().find(|name| first.contains_key(**name)).or(usual.first());
            given(role).unwrap_or_else(|| usual.map_or_else(String::new, |name| (*name).to_owned()))
        };
        let tag = |role: &str, usual: &str| given(role).unwrap_or_else(|| usual.to_owned());
        let openai = format == Format::Messages;
        let pick = |openai_name: &'static str, other: &'static str| if openai { openai_name } else { other };
        let mut speakers = vec![
            (tag("system_tag", "system"), Speaker::System),
            (tag("user_tag", pick("user", "human")), Speaker::User),
            (tag("assistant_tag", pick("assistant", "gpt")), Speaker::Assistant),
            (tag("observation_tag", pick("tool", "observation")), Speaker::Observation),
            (tag("function_tag", pick("function_call", "function_call")), Speaker::Assistant),
        ];
        // Names that files of the same format use as well.
        let usual = [
            ("developer", Speaker::System),
            ("user", Speaker::User),
            ("human", Speaker::User),
            ("assistant", Speaker::Assistant),
            ("gpt", Speaker::Assistant),
            ("tool", Speaker::Observation),
        ];
        for (name, speaker) in usual {
            if speakers.iter().all(|(known, _)| known != name) {
                speakers.push((name.to_owned(), speaker));
            }
        }
        let lists: &[&str] =
            if openai { &["messages", "conversations"] } else { &["conversations", "messages"] };
        Self {
            format,
            prompt: column("prompt", &["instruction", "prompt"]),
            query: column("query", &["input", "query"]),
            response: column("response", &["output", "response", "completion", "answer"]),
            history: column("history", &["history"]),
            system: column("system", &["system"]),
            tools: column("tools", &["tools"]),
            messages: column("messages", lists),
            // As LLaMA-Factory's entries for the stage pt name it.
            text: given("text")
                .or_else(|| given("prompt").filter(|_| format == Format::Text))
                .unwrap_or_else(|| "text".to_owned()),
            id: column("id", &["id"]),
            documents: column("documents", &["documents"]),
            role: tag("role_tag", pick("role", "from")),
            content: tag("content_tag", pick("content", "value")),
            speakers,
        }
    }

    /// The record of an object.
    ///
    /// # Errors
    /// What is wrong with it, to be put after its file and line.
    pub(super) fn record(&self, object: &Map<String, Value>, stage: Stage) -> Result<Record, String> {
        let body = match (self.format, stage) {
            (Format::Text, Stage::Pt) => Body::Text(required(object, &self.text)?.to_owned()),
            (Format::Alpaca, Stage::Pt) if optional(object, &self.response)?.is_none_or(str::is_empty) => {
                Body::Text(required(object, &self.prompt)?.to_owned())
            }
            (Format::Text, Stage::Sft) => {
                return Err("is plain text, which stage: pt learns; stage: sft needs questions with answers"
                    .to_owned());
            }
            (_, Stage::Pt) => {
                return Err(
                    "is a conversation, which stage: sft learns; stage: pt needs plain text".to_owned()
                );
            }
            (Format::Alpaca, Stage::Sft) => Body::Chat(self.alpaca(object)?),
            (Format::Sharegpt | Format::Messages, Stage::Sft) => Body::Chat(self.conversation(object)?),
        };
        if let Body::Text(text) = &body
            && text.trim().is_empty()
        {
            return Err("has an empty text".to_owned());
        }
        let id = match object.get(&self.id) {
            Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        let documents = object.get(&self.documents).and_then(Value::as_array);
        let documents =
            documents.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect();
        Ok(Record { id, documents, body })
    }

    fn no_tools(&self, object: &Map<String, Value>) -> Result<(), String> {
        let empty = match object.get(&self.tools) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => matches!(text.trim(), "" | "[]"),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
        };
        if empty {
            return Ok(());
        }
        Err(format!(
            "has {:?}, which chat templates are not given here; describe the tools in the system message",
            self.tools
        ))
    }

    fn alpaca(&self, object: &Map<String, Value>) -> Result<Vec<Turn>, String> {
        self.no_tools(object)?;
        let mut turns = self.system(object)?;
        match object.get(&self.history) {
            None | Some(Value::Null) => {}
            Some(Value::Array(pairs)) => {
                for pair in pairs {
                    let texts: Option<Vec<&str>> =
                        pair.as_array().map(|pair| pair.iter().filter_map(Value::as_str).collect());
                    let Some([question, answer]) = texts.as_deref() else {
                        return Err(format!("{:?} must be a list of [question, answer]", self.history));
                    };
                    turns.extend([Turn::new(Role::User, *question), Turn::new(Role::Assistant, *answer)]);
                }
            }
            Some(other) => {
                return Err(format!(
                    "{:?} is {}; it must be a list of [question, answer]",
                    self.history,
                    kind(other)
                ));
            }
        }
        let prompt = required(object, &self.prompt)?;
        let query = optional(object, &self.query)?.unwrap_or_default();
        let parts: Vec<&str> = [prompt, query].into_iter().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(format!("has an empty {:?}", self.prompt));
        }
        let answer = required(object, &self.response)?;
        if answer.is_empty() {
            return Err(format!("has an empty {:?}; there is nothing to learn", self.response));
        }
        turns.extend([Turn::new(Role::User, parts.join("\n")), Turn::new(Role::Assistant, answer)]);
        Ok(turns)
    }

    fn system(&self, object: &Map<String, Value>) -> Result<Vec<Turn>, String> {
        let system = optional(object, &self.system)?.filter(|system| !system.is_empty());
        Ok(system.map(|system| Turn::new(Role::System, system)).into_iter().collect())
    }

    fn conversation(&self, object: &Map<String, Value>) -> Result<Vec<Turn>, String> {
        self.no_tools(object)?;
        let list = match object.get(&self.messages) {
            Some(Value::Array(list)) => list,
            Some(other) => return Err(format!("{:?} is {}; it must be a list", self.messages, kind(other))),
            None => return Err(missing(object, &self.messages)),
        };
        let mut turns = Vec::with_capacity(list.len());
        for (at, message) in list.iter().enumerate() {
            turns.push(self.turn(message).map_err(|what| format!("message {}: {what}", at + 1))?);
        }
        if turns.first().is_none_or(|turn| turn.message.role != Role::System) {
            turns.splice(0..0, self.system(object)?);
        }
        match turns.iter().rposition(|turn| turn.learned) {
            Some(last) => turns.truncate(last + 1),
            None => return Err("has no answer to learn".to_owned()),
        }
        if turns[0].message.role == Role::Assistant {
            return Err("begins with an answer; put the question before it, or a system message".to_owned());
        }
        Ok(turns)
    }

    fn turn(&self, message: &Value) -> Result<Turn, String> {
        let Some(message) = message.as_object() else {
            return Err(format!("is {}; it must be an object", kind(message)));
        };
        let name = required(message, &self.role)?;
        let Some((_, speaker)) = self.speakers.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = self.speakers.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!("{:?} is \"{}\"; known are {}", self.role, short(name), known.join(", ")));
        };
        if message
            .get("tool_calls")
            .is_some_and(|calls| calls.as_array().is_none_or(|calls| !calls.is_empty()))
        {
            return Err("has \"tool_calls\", which chat templates are not given here; write the call into the content".to_owned());
        }
        let content = match message.get(&self.content) {
            Some(Value::Array(parts)) => joined(parts)?,
            _ => required(message, &self.content)?.to_owned(),
        };
        let role = match speaker {
            Speaker::System => Role::System,
            Speaker::User | Speaker::Observation => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        if role == Role::Assistant && content.is_empty() {
            return Err("is an empty answer; there is nothing to learn".to_owned());
        }
        let mut turn = Turn::new(role, content);
        turn.observed = *speaker == Speaker::Observation;
        // OpenAI's fine-tuning format: an answer of weight 0 is shown and not learned.
        turn.learned &= message.get("weight").and_then(Value::as_f64) != Some(0.0);
        Ok(turn)
    }
}

/// A content in parts, all of which must be text.
fn joined(parts: &[Value]) -> Result<String, String> {
    let text = |part: &Value| {
        let text = part.as_str().or_else(|| part.get("text").and_then(Value::as_str));
        text.map(str::to_owned).ok_or_else(|| "has a content with a part that is no text".to_owned())
    };
    parts.iter().map(text).collect()
}

fn optional<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{name:?} is {}; it must be a text", kind(other))),
    }
}

fn required<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    optional(object, name)?.ok_or_else(|| missing(object, name))
}

fn missing(object: &Map<String, Value>, name: &str) -> String {
    format!("has no {name:?}; its fields are [{}]", fields(object))
}
