#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::*;

fn with(flags: &GlobalFlags, env: &[(&str, &str)], cwd: &Path) -> anyhow::Result<Settings> {
    let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    resolve(
        flags,
        &|name| env.get(name).cloned().or_else(|| (name == "HOME").then(|| "/home/ana".into())),
        cwd,
    )
}

#[test]
fn the_shipped_defaults_are_the_codes_defaults() {
    assert_eq!(parse(DEFAULTS, "lore.yaml").unwrap(), Config::default());
}

/// Paths of all keys of a value; `answer.support` is left out: fitted weights, not for a person to set.
fn keys(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
    if let Some(map) = value.as_object() {
        for (key, value) in map {
            let path = format!("{path}.{key}");
            if path != ".answer.support" {
                out.push(path.clone());
                keys(value, &path, out);
            }
        }
    }
}

#[test]
fn the_shipped_defaults_name_every_key() {
    let (mut shipped, mut code) = (Vec::new(), Vec::new());
    let as_written: serde_json::Value = serde_saphyr::from_str(DEFAULTS).unwrap();
    keys(&as_written, "", &mut shipped);
    keys(&serde_json::to_value(Config::default()).unwrap(), "", &mut code);
    shipped.sort();
    code.sort();
    assert_eq!(shipped, code);
}

#[test]
fn every_shipped_config_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut seen = 0;
    // Folders hold configurations of another kind, such as those of trainings.
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.is_file()) {
        let settings =
            with(&GlobalFlags { config: Some(path.clone()), ..Default::default() }, &[], Path::new("/"));
        assert!(settings.is_ok(), "{}: {:?}", path.display(), settings.err());
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn flags_before_environment_before_file_before_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let none = GlobalFlags::default();

    let settings = with(&none, &[], cwd).unwrap();
    assert_eq!(settings.data_dir, Path::new("/home/ana/.local/share/lore"));
    assert_eq!(settings.config.listen, "127.0.0.1:8787");
    assert_eq!(settings.config.retrieve.dense_languages, ["en"]);
    assert_eq!(with(&none, &[("XDG_DATA_HOME", "/xdg")], cwd).unwrap().data_dir, Path::new("/xdg/lore"));

    std::fs::write(
        cwd.join("lore.yaml"),
        "data_dir: from-file\nlisten: 127.0.0.1:1\nretrieve: {candidates: 7}\n",
    )
    .unwrap();
    let settings = with(&none, &[], cwd).unwrap();
    assert_eq!(settings.data_dir, cwd.join("from-file"));
    assert_eq!(settings.config.listen, "127.0.0.1:1");
    assert_eq!(settings.config.retrieve.candidates, 7);
    assert_eq!(settings.config.retrieve.rerank_depth, RetrieveConfig::default().rerank_depth);

    let env = [
        ("LORE_DATA_DIR", "from-env"),
        ("LORE_LISTEN", "127.0.0.1:2"),
        ("LORE_OFFLINE", "1"),
        ("LORE_LOG", "debug"),
    ];
    let settings = with(&none, &env, cwd).unwrap();
    assert_eq!(settings.data_dir, cwd.join("from-env"));
    assert_eq!(settings.config.listen, "127.0.0.1:2");
    assert!(settings.config.offline);
    assert_eq!(settings.config.log.level.as_deref(), Some("debug"));

    let flags = GlobalFlags { data_dir: Some("from-flag".into()), log: Some("trace".into()), ..none };
    let settings = with(&flags, &env, cwd).unwrap();
    assert_eq!(settings.data_dir, cwd.join("from-flag"));
    assert_eq!(settings.config.log.level.as_deref(), Some("trace"));
}

#[test]
fn a_named_file_wins_over_the_local_one_and_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    std::fs::write(cwd.join("lore.yaml"), "listen: 127.0.0.1:1\n").unwrap();
    std::fs::write(cwd.join("other.yaml"), "listen: 127.0.0.1:2\n").unwrap();
    let named = with(&GlobalFlags::default(), &[("LORE_CONFIG", "other.yaml")], cwd).unwrap();
    assert_eq!(named.config.listen, "127.0.0.1:2");
    let flags = GlobalFlags { config: Some("missing.yaml".into()), ..Default::default() };
    let error = with(&flags, &[], cwd).unwrap_err();
    assert!(error.to_string().contains("missing.yaml"), "{error}");
}

#[test]
fn a_gate_that_means_nothing_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lore.yaml"), "gate: {tolerance: 2}\n").unwrap();
    let error = with(&GlobalFlags::default(), &[], folder.path()).unwrap_err();
    assert!(error.to_string().contains("gate.tolerance is 2"), "{error}");
}

#[test]
fn an_unknown_key_names_line_and_nearest_key() {
    let error = parse("listen: 127.0.0.1:1\nretrieve:\n  candidats: 5\n", "lore.yaml").unwrap_err();
    assert_eq!(error.to_string(), "lore.yaml, line 3: unknown key `candidats`; did you mean `candidates`?");
    let error = parse("ofline: true\n", "lore.yaml").unwrap_err();
    assert_eq!(error.to_string(), "lore.yaml, line 1: unknown key `ofline`; did you mean `offline`?");
    let error = parse("reranker: {zebra: 1}\n", "lore.yaml").unwrap_err();
    assert_eq!(error.to_string(), "lore.yaml, line 1: unknown key `zebra`; known are model");
    let error = parse("limits: {json_body_bytes: lots}\n", "lore.yaml").unwrap_err().to_string();
    assert_eq!(error, "lore.yaml, line 1: `lots` is no whole number in range; write its digits alone");
}

#[test]
fn a_wrong_value_is_shown_and_its_line_told_once() {
    let error = |text: &str| parse(text, "lore.yaml").unwrap_err().to_string();
    let number = "is no whole number in range; write its digits alone";
    assert_eq!(
        error("generator:\n  model: ./x\n  kv_bytes: 2GB # much\n"),
        format!("lore.yaml, line 3: `2GB` {number}")
    );
    assert_eq!(error("generator: {model: ./x, kv_bytes: -5}\n"), format!("lore.yaml, line 1: `-5` {number}"));
    assert_eq!(error("offline: maybe\n"), "lore.yaml, line 1: `maybe` is neither true nor false");
    let error = error("generator: qwen\n");
    assert_eq!(error, "lore.yaml, line 1: generator is \"qwen\"; set it to auto, none, or to {model: qwen}");
}

#[test]
fn an_empty_file_has_all_defaults() {
    assert_eq!(parse("", "lore.yaml").unwrap(), Config::default());
    assert_eq!(parse("# nothing yet\n\n", "lore.yaml").unwrap(), Config::default());
}

#[test]
fn a_qdrant_address_moves_the_vectors_there() {
    let cwd = Path::new("/nowhere");
    let env = [("LORE_QDRANT_URL", "http://qdrant:6334"), ("LORE_QDRANT_API_KEY", "k")];
    let settings = with(&GlobalFlags::default(), &env, cwd).unwrap();
    let VectorBackend::Server { url, api_key, collection, shards, .. } = settings.config.index.vectors else {
        panic!("not a server");
    };
    assert_eq!(
        (url.as_str(), api_key.as_deref(), collection.as_str(), shards),
        ("http://qdrant:6334", Some("k"), "lore", 1)
    );
}

#[test]
fn a_qdrant_key_alone_goes_to_the_server_of_the_file_and_is_not_lost_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lore.yaml");
    std::fs::write(&file, "index: {vectors: {server: {url: \"http://q:6334\", api_key: old}}}\n").unwrap();
    let env = [("LORE_QDRANT_API_KEY", "new")];
    let settings = with(&GlobalFlags::default(), &env, folder.path()).unwrap();
    let VectorBackend::Server { url, api_key, .. } = settings.config.index.vectors else {
        panic!("not a server");
    };
    assert_eq!((url.as_str(), api_key.as_deref()), ("http://q:6334", Some("new")));
    let error = with(&GlobalFlags::default(), &env, Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("LORE_QDRANT_API_KEY") && error.contains("LORE_QDRANT_URL"), "{error}");
}

#[test]
fn nonsense_in_the_environment_is_named() {
    let error = with(&GlobalFlags::default(), &[("LORE_OFFLINE", "maybe")], Path::new("/")).unwrap_err();
    assert_eq!(error.to_string(), "LORE_OFFLINE is \"maybe\"; set it to 1 or 0");
    assert!(socket_address("8787").is_err());
    assert!(socket_address("127.0.0.1:8787").unwrap().ip().is_loopback());
}

/// The lines of the defaults that show how a generator is set, uncommented.
fn shown_generator() -> String {
    let lines = DEFAULTS.lines().skip_while(|line| !line.starts_with("# generator:"));
    lines.map_while(|line| line.strip_prefix("# ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_generator_that_the_defaults_show_has_every_key_with_its_default() {
    let shown = parse(&shown_generator(), "lore.yaml").unwrap();
    let config = shown.generator.model().unwrap();
    assert_eq!(*config, GeneratorConfig { model: config.model.clone(), ..GeneratorConfig::default() });
    let as_written: serde_json::Value = serde_saphyr::from_str(&shown_generator()).unwrap();
    let (mut written, mut code) = (Vec::new(), Vec::new());
    keys(&as_written["generator"], "", &mut written);
    keys(&serde_json::to_value(config).unwrap(), "", &mut code);
    written.sort();
    code.sort();
    assert_eq!(written, code);
}

#[test]
fn a_generator_is_auto_none_or_a_map_that_names_a_model() {
    let of = |text: &str| parse(text, "lore.yaml").map(|config| config.generator);
    assert_eq!(of("generator: none\n").unwrap(), Generator::None);
    assert_eq!(of("generator: auto\n").unwrap(), Generator::default());
    assert_eq!(of("generator:\n").unwrap(), Generator::None);
    let Generator::Model(config) = of("generator: {model: a/b, max_running: 3}\n").unwrap() else {
        panic!("no model");
    };
    assert_eq!((config.name().as_str(), config.max_running, config.queue), ("a/b", 3, 64));
    let error = |text: &str| of(text).unwrap_err().to_string();
    assert!(
        error("generator: a/b\n").contains("set it to auto, none, or to {model: a/b}"),
        "{}",
        error("generator: a/b\n")
    );
    assert!(error("generator: {max_running: 3}\n").contains("add `model: NAME`"));
    let unknown = error("generator: {model: a/b, max_runing: 3}\n");
    assert!(unknown.contains("unknown key `max_runing`; did you mean `max_running`?"), "{unknown}");
    assert!(error("generator: [a]\n").starts_with("lore.yaml"));
}

#[test]
fn the_environment_names_another_generator_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    let yaml = "generator: {model: a/b, file: c.gguf, chat_template: t.jinja, max_running: 3}\n";
    std::fs::write(cwd.join("lore.yaml"), yaml).unwrap();
    let of = |name: &str| {
        with(&GlobalFlags::default(), &[("LORE_GENERATOR", name)], cwd).map(|s| s.config.generator)
    };
    assert_eq!(of("none").unwrap(), Generator::None);
    assert!(matches!(of("auto").unwrap(), Generator::Auto(choice) if !choice.reason.is_empty()));
    let same = of("a/b:c.gguf").unwrap();
    assert_eq!(same.model().unwrap().chat_template, Some(cwd.join("t.jinja")));
    assert_eq!(same.model().unwrap().spec().unwrap().file(), Some("c.gguf"));
    let other = of("x/y:z.gguf").unwrap();
    let other = other.model().unwrap();
    assert_eq!((other.max_running, other.chat_template.as_ref(), other.file.as_ref()), (3, None, None));
    assert_eq!(other.spec().unwrap().file(), Some("z.gguf"));
    assert!(of("a/b/c").is_err());
}

#[test]
fn the_shipped_generators_are_models_that_can_be_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for (file, model) in [
        ("qwen3-0.6b.yaml", "Qwen/Qwen3-0.6B"),
        ("qwen2.5-1.5b-q4.yaml", "Qwen/Qwen2.5-1.5B-Instruct-GGUF:qwen2.5-1.5b-instruct-q4_k_m.gguf"),
        ("multilingual.yaml", "Qwen/Qwen2.5-1.5B-Instruct-GGUF:qwen2.5-1.5b-instruct-q4_k_m.gguf"),
    ] {
        let config = read(&folder.join(file)).unwrap();
        let generator = config.generator.model().unwrap();
        assert_eq!(generator.name(), model);
        generator.spec().unwrap();
    }
}

#[test]
fn what_is_shown_of_the_settings_has_no_secrets() {
    let text = "index: {vectors: {server: {url: 'http://ana:geheim@10.0.0.7:6334', api_key: geheim}}}
embedder: {sources: [{hub: {endpoint: 'https://hub.example.com/m?token=geheim'}}]}
generator: {model: a/b, sources: [{hub: {endpoint: 'https://geheim@hub.example.com'}}]}
";
    let shown = parse(text, "lore.yaml").unwrap().redacted().yaml().unwrap();
    assert!(!shown.contains("geheim"), "{shown}");
    for left in
        ["http://(set)@10.0.0.7:6334", "https://hub.example.com/m?(set)", "https://(set)@hub.example.com"]
    {
        assert!(shown.contains(left), "{left} is not in {shown}");
    }
    assert_eq!(masked("http://127.0.0.1:6334"), "http://127.0.0.1:6334");
    assert_eq!(masked("127.0.0.1:6334"), "127.0.0.1:6334");
}
