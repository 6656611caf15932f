//! Measures word search alone: `lexical_eval DATA` indexes `DATA/scifact` (BEIR) and the paragraphs of
//! `DATA/xquad/xquad.{zh,en}.json` and `DATA/squad2/dev.json` (SQuAD) and prints nDCG@10 and recall@100 of each, for the
//! settings in the environment (`K1`, `B`, `TITLE`) or the default ones.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that prints")]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use lore_core::{Access, ChunkId, DocumentId, Filter, NewChunk, Seq, Span};
use lore_index::IndexConfig;
use lore_index::lexical::{Entry, LexicalIndex};
use lore_index::payload::{Labels, Payload};
use serde_json::Value;

#[derive(Default)]
struct Set {
    /// Name, title, text.
    texts: Vec<(String, String, String)>,
    /// Query, names of the right texts.
    queries: Vec<(String, HashSet<String>)>,
}

fn beir(folder: &Path) -> Set {
    let lines = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut right: HashMap<String, HashSet<String>> = HashMap::new();
    for line in lines("qrels/test.tsv").lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[2] != "0" {
            right.entry(fields[0].into()).or_default().insert(fields[1].into());
        }
    }
    let string = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut set = Set::default();
    for line in lines("corpus.jsonl").lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        set.texts.push((string(&value, "_id"), string(&value, "title"), string(&value, "text")));
    }
    for line in lines("queries.jsonl").lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        if let Some(right) = right.remove(&string(&value, "_id")) {
            set.queries.push((string(&value, "text"), right));
        }
    }
    set
}

fn squad(file: &Path) -> Set {
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut set = Set::default();
    for article in value["data"].as_array().unwrap() {
        for paragraph in article["paragraphs"].as_array().unwrap() {
            let name = set.texts.len().to_string();
            let text = paragraph["context"].as_str().unwrap().to_owned();
            set.texts.push((name.clone(), String::new(), text));
            for question in paragraph["qas"].as_array().unwrap() {
                if question["is_impossible"] != true {
                    let text = question["question"].as_str().unwrap().to_owned();
                    set.queries.push((text, [name.clone()].into()));
                }
            }
        }
    }
    set
}

fn measure(name: &str, set: &Set, config: &IndexConfig) {
    let folder = tempfile::tempdir().unwrap();
    let index = LexicalIndex::create(folder.path(), config).unwrap();
    let started = Instant::now();
    let mut names = HashMap::new();
    for (text, title, body) in &set.texts {
        let document = DocumentId::from_source(text);
        let labels = Labels { access: vec!["*".into()], tags: Vec::new(), language: None, date: None };
        let payload = Payload { document, version: 1, ordinal: 0, labels };
        let place = NewChunk { span: Span::new(0, 0), pages: None, headings: Vec::new(), context: None };
        let id = ChunkId::new(document, 1, 0);
        names.insert(id, text);
        index.replace(document, [Entry { id, payload: &payload, title, place: &place, text: body }]).unwrap();
    }
    index.commit(Seq(1)).unwrap();
    let built = started.elapsed().as_secs_f64();
    let (mut gain, mut recall) = (0.0, 0.0);
    let started = Instant::now();
    for (query, right) in &set.queries {
        let found = index.search(query, &Filter::default(), &Access::All, 100).unwrap();
        let hit = |at: usize| right.contains(names[&found[at].id]);
        let worth = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let got: f64 = (0..found.len().min(10)).filter(|at| hit(*at)).map(worth).sum();
        gain += got / (0..right.len().min(10)).map(worth).sum::<f64>();
        recall += (0..found.len()).filter(|at| hit(*at)).count() as f64 / right.len() as f64;
    }
    let count = set.queries.len() as f64;
    let each = started.elapsed().as_secs_f64() * 1e3 / count;
    println!(
        "{name:9} {:5} texts in {built:.1} s, {count:5} queries of {each:.2} ms: nDCG@10 {:.4}, R@100 {:.4}",
        set.texts.len(),
        gain / count,
        recall / count
    );
}

fn main() {
    let data = std::env::args().nth(1).unwrap_or_else(|| "../shared/data".into());
    let data = Path::new(&data);
    let mut config = IndexConfig::default();
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    config.bm25_k1 = number("K1").unwrap_or(config.bm25_k1);
    config.bm25_b = number("B").unwrap_or(config.bm25_b);
    config.title_boost = number("TITLE").unwrap_or(config.title_boost);
    println!("k1 {} b {} title {}", config.bm25_k1, config.bm25_b, config.title_boost);
    measure("scifact", &beir(&data.join("scifact")), &config);
    measure("xquad-zh", &squad(&data.join("xquad/xquad.zh.json")), &config);
    measure("xquad-en", &squad(&data.join("xquad/xquad.en.json")), &config);
    measure("squad2", &squad(&data.join("squad2/dev.json")), &config);
}
