//! A real SentencePiece vocabulary: that of the stories260K model (llama2.c, `tok512.bin`).

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value as Entry;
use lore_models::text::{GeneratorText, TextOptions};

#[test]
fn the_stories_vocabulary_reads_as_llama2_c_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/stories260k/tok512.bin");
    let Ok(file) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    // The greatest length, then for each token its score, its length and its bytes.
    let word = |at: usize| <[u8; 4]>::try_from(&file[at..at + 4]).unwrap();
    let (mut at, mut tokens, mut scores, mut kinds) = (4, Vec::new(), Vec::new(), Vec::new());
    while at < file.len() {
        let (score, bytes) = (f32::from_le_bytes(word(at)), u32::from_le_bytes(word(at + 4)) as usize);
        let text = String::from_utf8(file[at + 8..at + 8 + bytes].to_vec()).unwrap();
        kinds.push(Entry::I32(match tokens.len() {
            0 => 2,
            1 | 2 => 3,
            3..259 => 6,
            _ => 1,
        }));
        tokens.push(Entry::String(text.replace(' ', "\u{2581}")));
        scores.push(Entry::F32(score));
        at += 8 + bytes;
    }
    assert_eq!(tokens.len(), 512);
    let metadata = HashMap::from([
        ("tokenizer.ggml.model".to_owned(), Entry::String("llama".to_owned())),
        ("tokenizer.ggml.tokens".to_owned(), Entry::Array(tokens)),
        ("tokenizer.ggml.scores".to_owned(), Entry::Array(scores)),
        ("tokenizer.ggml.token_type".to_owned(), Entry::Array(kinds)),
        ("tokenizer.ggml.bos_token_id".to_owned(), Entry::U32(1)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Entry::U32(2)),
    ]);
    let text = GeneratorText::from_gguf(&path, &metadata, &TextOptions::default()).unwrap();
    assert_eq!(text.encode("Once upon a time", true).unwrap(), [1, 403, 407, 261, 378]);
    assert_eq!(text.ends(), [2]);
    // As llama.cpp's `llama_tokenize` gives them for the same entries, begin-of-text token included.
    let lily = [1, 317, 336, 432, 313, 438, 316, 439, 419, 298, 414, 443, 436, 13];
    assert_eq!(text.encode("Lily said, \"Let's go!\"\n", true).unwrap(), lily);
    let spaces = [1, 410, 410, 259, 424, 414, 410, 262, 427, 412, 331, 419];
    assert_eq!(text.encode("  two  spaces", true).unwrap(), spaces);
    let japan = [1, 410, 233, 154, 168, 233, 159, 175, 410, 243, 162, 156, 133];
    assert_eq!(text.encode("日本 \u{1F642}", true).unwrap(), japan);
    for sample in ["Once upon a time, there was a girl named Lily.", "日本 🙂\n", "  two  spaces"] {
        assert_eq!(text.decode(&text.encode(sample, true).unwrap()), sample);
    }
}
