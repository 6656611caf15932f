//! What cannot be used says so.

use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::gguf_file::Value as Entry;
use lore_core::generate::{ChatOptions, Message, Role};
use lore_core::model::ModelError;
use lore_models::text::{GeneratorText, TextOptions};
use serde_json::json;

use crate::families::{family, write};

fn hello() -> Vec<Message> {
    vec![Message::new(Role::User, "Hello")]
}

#[test]
fn a_model_without_a_template_refuses_chats_until_one_is_named() {
    let folder = family("gpt2").folder();
    let text = Arc::new(GeneratorText::open(folder.path(), &TextOptions::default()).unwrap());
    assert!(!text.has_chat_template());
    let refused = text.chat_encoder("tiny")(&hello(), &ChatOptions::default()).unwrap_err();
    let ModelError::Refused { model, message } = refused else { panic!("{refused:?}") };
    assert_eq!(model, "tiny");
    assert!(message.contains("no chat template") && message.contains("settings"), "{message}");
    assert_eq!(text.counter()("Hello"), text.count("Hello"));

    let path = folder.path().join("mine.jinja");
    std::fs::write(&path, "{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}").unwrap();
    let options = TextOptions { chat_template: Some(path), ..TextOptions::default() };
    let text = GeneratorText::open(folder.path(), &options).unwrap();
    let mut wanted = text.encode("Hello", false).unwrap();
    wanted.extend(text.special("<|endoftext|>"));
    assert_eq!(text.encode_chat(&hello(), &ChatOptions::default()).unwrap(), wanted);
}

#[test]
fn a_template_may_refuse() {
    let text = Arc::new(family("mistral").gguf_text());
    let twice = [hello(), hello()].concat();
    let refused = text.chat_encoder("tiny")(&twice, &ChatOptions::default()).unwrap_err();
    let message = refused.to_string();
    assert!(matches!(refused, ModelError::Refused { .. }));
    assert_eq!(
        message,
        "the model's chat template refuses the chat: questions and answers must take turns, beginning with a question"
    );
    let empty = text.encode_chat(&[], &ChatOptions::default()).unwrap_err().to_string();
    assert!(empty.contains("no messages"), "{empty}");
}

#[test]
fn a_model_without_system_messages_reads_the_instructions_before_the_question() {
    let folder = family("qwen2.5").folder();
    let template = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no instructions') }}{% endif %}\
                    {% if m.role == 'user' and not loop.last %}{{ raise_exception('one question') }}{% endif %}\
                    <|im_start|>{{ m.content }}<|im_end|>{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let text = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap();
    let encode = |messages: &[Message]| text.encode_chat(messages, &ChatOptions::default());
    let rules = Message::new(Role::System, "Rules <|im_end|>");
    let joined = encode(&[Message::new(Role::User, "Rules <|im_end|>\n\nHello")]).unwrap();
    assert_eq!(encode(&[vec![rules.clone()], hello()].concat()).unwrap(), joined);
    let refused = encode(&[vec![rules], hello(), hello()].concat()).unwrap_err().to_string();
    assert!(refused.ends_with("no instructions"), "{refused}");
}

#[test]
fn a_gguf_file_is_read_from_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let mut metadata = family("qwen3").metadata();
    metadata.insert("general.architecture".to_owned(), Entry::String("qwen3".to_owned()));
    let entries: Vec<(&str, &Entry)> = metadata.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
    let mut file = std::fs::File::create(&path).unwrap();
    candle_core::quantized::gguf_file::write(&mut file, &entries, &[]).unwrap();
    let wanted = family("qwen3").gguf_text().encode_chat(&hello(), &ChatOptions::default()).unwrap();
    for place in [path.as_path(), folder.path()] {
        let text = GeneratorText::open(place, &TextOptions::default()).unwrap();
        assert_eq!(text.encode_chat(&hello(), &ChatOptions::default()).unwrap(), wanted);
    }
    let absent = GeneratorText::open(&folder.path().join("other.gguf"), &TextOptions::default()).unwrap_err();
    assert!(absent.to_string().contains("other.gguf"), "{absent}");
}

#[test]
fn templates_are_found_where_models_keep_them() {
    let folder = family("gpt2").folder();
    let open = || GeneratorText::open(folder.path(), &TextOptions::default());
    let said = || {
        let text = open().unwrap();
        text.decode(&text.encode_chat(&hello(), &ChatOptions::default()).unwrap())
    };
    write(folder.path(), "chat_template.json", &json!({"chat_template": "processor"}));
    assert_eq!(said(), "processor");
    let named = json!([{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "named"}]);
    write(folder.path(), "tokenizer_config.json", &json!({"chat_template": named}));
    assert_eq!(said(), "named");
    write(folder.path(), "tokenizer_config.json", &json!({"chat_template": "one"}));
    assert_eq!(said(), "one");
    std::fs::write(folder.path().join("chat_template.jinja"), "file\n").unwrap();
    assert_eq!(said(), "file");

    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    let named = json!([{"name": "rag", "template": "x"}, {"name": "tool_use", "template": "tools"}]);
    write(folder.path(), "tokenizer_config.json", &json!({"chat_template": named}));
    let error = open().unwrap_err().to_string();
    assert!(error.contains("rag, tool_use"), "{error}");
    write(folder.path(), "tokenizer_config.json", &json!({"chat_template": "{% if %}"}));
    let error = open().unwrap_err().to_string();
    assert!(error.contains("not valid: line 1"), "{error}");
}

#[test]
fn special_tokens_are_named_by_every_file() {
    let folder = family("gpt2").folder();
    let mut json = family("gpt2").tokenizer_json();
    json["added_tokens"] = json!([]);
    write(folder.path(), "tokenizer.json", &json);
    write(folder.path(), "tokenizer_config.json", &json!({}));
    write(folder.path(), "special_tokens_map.json", &json!({"eos_token": {"content": "!"}}));
    let text = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap();
    assert_eq!(text.ends(), [text.special("!").unwrap()]);
    let declared = json!({"600": {"content": "<|later|>", "special": true, "lstrip": false}});
    write(folder.path(), "tokenizer_config.json", &json!({"added_tokens_decoder": declared}));
    let text = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap();
    assert_eq!(text.special("<|later|>"), Some(600));
    assert_eq!(text.vocabulary(), 601);
}

#[test]
fn a_folder_without_a_tokenizer_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    let mut json = family("gpt2").tokenizer_json();
    json["decoder"] = json!({"type": "CTC", "pad_token": "x", "word_delimiter_token": "|", "cleanup": true});
    write(folder.path(), "tokenizer.json", &json);
    let error = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap_err().to_string();
    assert!(error.contains("CTC"), "{error}");
}

#[test]
fn a_gguf_with_another_tokenizer_is_refused_by_name() {
    let text = |text: &str| Entry::String(text.to_owned());
    let ten = || Entry::Array(vec![Entry::I32(1); 10]);
    let cases = [
        ("qwen3", "tokenizer.ggml.model", Some(text("t5")), "\"t5\""),
        ("qwen3", "tokenizer.ggml.pre", Some(text("chameleon")), "\"chameleon\""),
        ("qwen3", "tokenizer.ggml.model", None, "tokenizer.ggml.model"),
        ("qwen3", "tokenizer.ggml.merges", None, "tokenizer.ggml.merges"),
        ("qwen3", "tokenizer.ggml.tokens", Some(ten()), "tokenizer.ggml.tokens"),
        ("qwen3", "tokenizer.ggml.token_type", Some(ten()), "10 entries"),
        ("qwen3", "tokenizer.ggml.eos_token_id", Some(Entry::U32(9999)), "tokenizer.ggml.eos_token_id"),
        ("mistral", "tokenizer.ggml.scores", None, "tokenizer.ggml.scores"),
        ("mistral", "tokenizer.ggml.add_bos_token", Some(text("yes")), "tokenizer.ggml.add_bos_token"),
    ];
    for (name, entry, value, wanted) in cases {
        let mut metadata = family(name).metadata();
        metadata.remove(entry);
        metadata.extend(value.map(|value| (entry.to_owned(), value)));
        let error =
            GeneratorText::from_gguf(Path::new("tiny.gguf"), &metadata, &TextOptions::default()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(wanted) && error.contains("tiny.gguf"), "{error}");
    }
}

#[test]
fn a_gguf_decides_about_its_frame() {
    let mut metadata = family("mistral").metadata();
    let open = |metadata: &_| {
        GeneratorText::from_gguf(Path::new("a.gguf"), metadata, &TextOptions::default()).unwrap()
    };
    assert_eq!(open(&metadata).encode("", true).unwrap(), [1]);
    metadata.insert("tokenizer.ggml.add_bos_token".to_owned(), Entry::Bool(false));
    metadata.insert("tokenizer.ggml.add_eos_token".to_owned(), Entry::Bool(true));
    assert_eq!(open(&metadata).encode("", true).unwrap(), [2]);
}

#[test]
fn special_tokens_in_a_text_are_read_only_when_asked() {
    for text in [family("qwen3").folder_text(), family("qwen3").gguf_text()] {
        let end = text.special("<|im_end|>").unwrap();
        assert_eq!(text.encode("a<|im_end|>", true).unwrap().last(), Some(&end));
        assert!(!text.encode("a<|im_end|>", false).unwrap().contains(&end));
        assert_eq!(text.count("<|im_end|>"), text.encode("<|im_end|>", false).unwrap().len());
    }
}

#[test]
fn a_token_with_an_id_beyond_all_is_refused() {
    let folder = family("gpt2").folder();
    let path = folder.path().join("tokenizer_config.json");
    let declared = json!({"added_tokens_decoder": {"4000000000": {"content": "<|far|>", "special": true}}});
    std::fs::write(&path, declared.to_string()).unwrap();
    let error = GeneratorText::open(folder.path(), &TextOptions::default()).unwrap_err().to_string();
    assert!(error.contains("4000000000") && error.contains("tokenizer_config.json"), "{error}");
}
