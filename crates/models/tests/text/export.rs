//! Tokenizers of folders as entries of GGUF files.

use std::collections::HashMap;
use std::path::Path;

use lore_models::text::{GeneratorText, TextOptions, gguf_tokenizer};

use crate::families::{expected, families};

#[test]
fn a_tokenizer_in_a_gguf_file_gives_the_ids_of_its_folder() {
    let expected = expected();
    let mut compared = 0;
    for family in families() {
        let folder = family.folder();
        let rows = family.folder_text().vocabulary() + 3;
        let entries: HashMap<_, _> = gguf_tokenizer(folder.path(), rows).unwrap().into_iter().collect();
        let text =
            GeneratorText::from_gguf(Path::new("made.gguf"), &entries, &TextOptions::default()).unwrap();
        assert_eq!(text.vocabulary(), rows, "{}: rows without a token have names", family.name);
        let results = &expected.families[family.in_gguf()];
        for (sample, ids) in expected.texts.iter().zip(&results.texts) {
            assert_eq!(&text.encode(sample, false).unwrap(), ids, "{}: {sample:?}", family.name);
        }
        assert_eq!(text.encode("Hello", true).unwrap(), results.framed, "{}", family.name);
        for chat in &results.chats {
            let ids = text.encode_chat(&expected.chats[chat.chat], &chat.options()).unwrap();
            assert_eq!(ids, chat.ids, "{}", family.name);
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn a_tokenizer_that_llama_cpp_does_not_have_is_refused() {
    let family = &families()[0];
    for (pointer, value, wanted) in [
        ("/model/type", serde_json::json!("Unigram"), "Unigram"),
        ("/pre_tokenizer", serde_json::json!({"type": "Whitespace"}), "pre_tokenizer"),
    ] {
        let folder = family.folder();
        let mut json = family.tokenizer_json();
        if pointer == "/model/type" {
            json["model"] = serde_json::json!({"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0]], "byte_fallback": false});
            json["added_tokens"] = serde_json::json!([]);
            json["post_processor"] = serde_json::json!(null);
        } else {
            *json.pointer_mut(pointer).unwrap() = value;
        }
        crate::families::write(folder.path(), "tokenizer.json", &json);
        match gguf_tokenizer(folder.path(), 4096) {
            Err(error) => assert!(error.to_string().contains(wanted), "{pointer}: {error}"),
            Ok(_) => panic!("{pointer} was taken"),
        }
    }
}
