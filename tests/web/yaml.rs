//! The YAML of a training's form: the page's own reader and writer against what the trainer reads, and the form over it.

use serde_json::{Map, Value, json};

use crate::browser::Browser;
use crate::world::World;

/// Whatever a configuration may hold; values that the page keeps as they stand are `below`.
const PLAIN: &str = r#"# a comment: with a colon
model_name_or_path: "Qwen/Qwen3-0.6B"   # behind a value
words: a word, and another
single: 'it''s # no comment: so'
double: "a \"quoted\" word: with # and \u4e2d \\ end"
address: https://example.org/a:b#c
chinese: 中文 模型
quoted_chinese: "数据集：一、二 # 三"
nothing:
tilde: ~
no_value: null
whole: 42
negative: -3
decimal: 1.50
small: 2.0e-4
word_of_digits: "42"
date: 2026-01-02
flag: true
other: False
old_flags: [yes, No, on, off, y, n]
apostrophes: [it's, don't]  # isn't
plain_apostrophe: the user's # comment
list: [a, "b, c", 'd ]', 3, 0.5, true, [x, y], {k: v}]
over_lines: [a,
  "b # c",   # and a comment
  d]
below:
  - one
  - "two: three"  # comment
  - -3
  - [x, y]
at_the_edge:
- a
- 二

map: {num_decay_steps: 50, min_lr_ratio: 0.1, decay_type: cosine, "quoted: key": 1, at: "a:b", in: {a: [1, 2]}, "c":3}
map_below:
  a: 1
  # between
  b: two   # c
  c: [x, y]
empty_list: []
empty_map: {}
"#;

/// Values that the page keeps as they stand.
const KEPT: &str = "text: |\n  first: 1\n  # no comment\n\n  second\nfolded: >-\n  a\n  b\nnested:\n  a:\n    b: 1\nmaps:\n  - a: 1\nlora_rank: 4\n";

/// Texts that YAML takes for something else where they are not quoted, with `¦` between them.
const WORDS: &str = "¦ ¦ a¦a ¦true¦null¦~¦42¦1e-7¦0x1F¦010¦1_000¦.5¦.nan¦.inf¦+1¦yes¦2026-01-02¦1:30¦a: b¦a:b¦a:¦a #b¦#b¦\
    - a¦-¦---¦...¦[x¦{x¦a, b¦it's¦say \"x\"¦中文：模型¦back\\slash¦two\nlines¦!tag¦&a¦*a¦@x¦%x¦`x¦? x¦|¦~/模型¦\
    /a b/c (1).jsonl";

/// What is changed of the page's values so that they can be compared: a text that is kept as it stands is null.
const VALUES: &str = "const plain = (value) => JSON.parse(JSON.stringify(value, (_, one) => one instanceof yaml.Raw ? null : one));";

/// What `script` returns, where `yaml` is the page's module.
fn in_module(browser: &Browser, script: &str, arguments: Vec<Value>) -> Value {
    let script = format!(
        "const given = arguments;
         const main = document.querySelector('script[type=module][src*=\"/js/\"]').src;
         return import(main.replace(/\\/js\\/.*/, '/js/training/yaml.js')).then((yaml) => {{ {VALUES} {script} }});"
    );
    browser.js_with(&script, arguments)
}

/// Numbers as the page has them: one kind.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(numbers).collect(),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), numbers(value))).collect())
        }
        other => other.clone(),
    }
}

/// What the server reads from a text.
fn read(text: &str) -> Value {
    let read: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"));
    numbers(&read)
}

/// What the page reads from it.
fn page_reads(browser: &Browser, text: &str) -> Value {
    numbers(&in_module(browser, "return plain(yaml.values(given[0]));", vec![json!(text)]))
}

/// What the two read differently.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    let (one, other) = (one.as_object().unwrap(), other.as_object().unwrap());
    let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    keys.filter(|key| one.get(*key) != other.get(*key))
        .map(|key| format!("{key}: {:?} and {:?}", one.get(key), other.get(key)))
        .collect()
}

/// What each field of the form shows, by its key.
fn form(browser: &Browser) -> Map<String, Value> {
    let script =
        "return Object.fromEntries([...document.querySelectorAll('.compose-form label code')].map((code) => {
        const label = code.closest('label');
        const input = label.htmlFor ? document.getElementById(label.htmlFor) : label.querySelector('input');
        return [code.textContent, input.type === 'checkbox' ? input.checked : input.value];
      }))";
    browser.js(script).as_object().unwrap().clone()
}

/// Changes a field as a person does.
fn put(browser: &Browser, key: &str, value: &Value) {
    let script = "const [key, value] = arguments;
        const label = [...document.querySelectorAll('.compose-form label code')].find((code) => code.textContent === key).closest('label');
        const input = label.htmlFor ? document.getElementById(label.htmlFor) : label.querySelector('input');
        if (input.type === 'checkbox') return void input.click();
        input.focus();
        input.value = value;
        input.dispatchEvent(new Event('change', {bubbles: true}));
        input.blur();";
    browser.js_with(script, vec![json!(key), value.clone()]);
}

fn text(browser: &Browser) -> String {
    browser.js("return document.querySelector('.yaml-text').value").as_str().unwrap().to_owned()
}

/// What the server says of a configuration: what it resolves to, and what is wrong.
fn checked(world: &World, config: &Value) -> Value {
    let (status, found) =
        world.server.send("POST", "/v1/trainings/check", None, Some(json!({"config": config})));
    assert_eq!(status, 200, "{found}");
    let problems: Vec<&Value> =
        found["problems"].as_array().unwrap().iter().map(|problem| &problem["message"]).collect();
    json!([found["settings"], problems])
}

pub fn reads_and_writes(world: &World) {
    let browser = &world.browser;
    browser.open("/training?tab=new");
    browser.see(".problems .notice", "");
    reads(browser);
    writes(browser);
    let (_, choices) = world.server.send("GET", "/v1/trainings/choices", None, None);
    presets(world, &choices);
    form_and_text(browser);
    breaks(browser);
}

fn reads(browser: &Browser) {
    let found = differences(&page_reads(browser, PLAIN), &read(PLAIN));
    assert!(found.is_empty(), "the page and the trainer read different values: {found:#?}");

    // What it does not read stays as it stands, whatever is set beside it.
    let script = "return yaml.set(yaml.set(given[0], 'lora_rank', 8), 'seed', 7, ['lora_rank']);";
    let set = in_module(browser, script, vec![json!(KEPT)]);
    assert_eq!(set, json!(KEPT.replace("lora_rank: 4\n", "lora_rank: 8\nseed: 7\n")));
    let nothing = json!({"text": null, "folded": null, "nested": null, "maps": null, "lora_rank": 4.0});
    assert_eq!(page_reads(browser, KEPT), nothing);
    // And one that is replaced goes with all its lines.
    let set = in_module(browser, "return yaml.set(given[0], 'text', 'short');", vec![json!(KEPT)]);
    assert!(set.as_str().unwrap().starts_with("text: short\nfolded: >-\n  a\n  b\n"), "{set}");
    for key in ["below", "over_lines", "at_the_edge", "map_below", "small"] {
        let set =
            in_module(browser, "return yaml.set(given[0], given[1], null);", vec![json!(PLAIN), json!(key)]);
        let mut expected = read(PLAIN);
        expected.as_object_mut().unwrap().remove(key);
        let found = differences(&read(set.as_str().unwrap()), &expected);
        assert!(found.is_empty(), "without {key}: {found:#?}");
    }
}

fn writes(browser: &Browser) {
    let words: Vec<&str> = WORDS.split('¦').collect();
    let mut values: Vec<Value> = words.iter().map(|word| json!(word)).collect();
    values.extend([0.0, -1.0, 0.1, 1e-7, 2.5e-10, 1e21, 123_456_789_012.0].map(|number| json!(number)));
    values.extend([json!(true), json!(false), json!([]), json!({})]);
    values.push(json!(words));
    values.push(json!({"a": [1.0, "b, c"], "d": {"e": "f: g", "h": "[i]"}}));
    let keys: Map<String, Value> = words.iter().map(|word| ((*word).to_owned(), json!("v"))).collect();
    values.push(Value::Object(keys));
    let script = "return given[0].map((value) => {
        const text = yaml.set('# head\\nother: 1\\n', 'key', value, ['other']);
        return [text, plain(yaml.values(text).key)];
      });";
    let written = in_module(browser, script, vec![json!(values)]);
    let mut bad = Vec::new();
    for (value, written) in values.iter().zip(written.as_array().unwrap()) {
        let text = written[0].as_str().unwrap();
        let theirs = serde_saphyr::from_str::<Value>(text).map(|read| numbers(&read)["key"].clone());
        let theirs = theirs.map_err(|error| error.to_string());
        let value = numbers(value);
        if theirs.as_ref() != Ok(&value) || numbers(&written[1]) != value {
            bad.push(format!(
                "{value}: `{text}`, which the trainer reads as {theirs:?}, the page as {}",
                written[1]
            ));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// Every configuration to begin with, as it is chosen: what the form shows, and what is written back.
fn presets(world: &World, choices: &Value) {
    let browser = &world.browser;
    let parameters = choices["parameters"].as_array().unwrap();
    for preset in choices["presets"].as_array().unwrap() {
        let (name, config) = (preset["name"].as_str().unwrap(), preset["config"].as_str().unwrap());
        let values = read(config);
        let found = differences(&page_reads(browser, config), &values);
        assert!(found.is_empty(), "{name}: {found:#?}");
        // Each value set to what it is changes nothing but how it is written; comments stay.
        let script = "let text = given[0];
            for (const [key, value] of Object.entries(yaml.values(text))) text = yaml.set(text, key, value);
            let anew = '';
            for (const [key, value] of Object.entries(yaml.values(given[0]))) anew = yaml.set(anew, key, value);
            return [text, anew];";
        let again = in_module(browser, script, vec![json!(config)]);
        for text in again.as_array().unwrap() {
            let found = differences(&read(text.as_str().unwrap()), &values);
            assert!(found.is_empty(), "{name} written again: {found:#?}");
        }
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(comments(again[0].as_str().unwrap()), comments(config), "{name}");
        let of_page = in_module(browser, "return plain(yaml.values(given[0]));", vec![json!(config)]);
        assert_eq!(checked(world, &of_page), checked(world, &json!(config)), "{name}");

        let select = browser.js("return [...document.querySelectorAll('.compose-form select')].find((one) => [...one.options].some(({value}) => value === 'lora-nano')).id");
        browser.fill(&format!("#{}", select.as_str().unwrap()), name);
        browser.see("dialog", name);
        browser.click("dialog button.primary", "");
        browser.wait(&format!("the text of {name}"), |browser| text(browser) == config);
        let shown = form(browser);
        for parameter in parameters {
            let (key, kind) = (parameter["key"].as_str().unwrap(), parameter["kind"].as_str().unwrap());
            let (value, shown) = (&values[key], &shown[key]);
            let fits = match (kind, value) {
                ("flag", _) => shown.as_bool() == value.as_bool().or(parameter["default"].as_bool()),
                (_, Value::Null) => shown == "",
                (_, Value::Number(_)) => shown.as_str().unwrap().parse().ok() == value.as_f64(),
                (_, Value::Array(items)) => {
                    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    *shown == items.join(", ")
                }
                _ => shown == value,
            };
            assert!(fits, "{name}: {key} is {value}, and its field shows {shown}");
        }
    }
}

/// A text that is pasted changes the form; the form changes the text, and nothing else of it.
fn form_and_text(browser: &Browser) {
    browser.cdp(
        "Browser.grantPermissions",
        json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}),
    );
    let pasted = "# mine\nmodel_name_or_path: \"模型/甲\"\nstage: sft\nfinetuning_type: lora\nlora_rank: 24 # how many\n\
        lora_target:\n  - q_proj\n  - v_proj\ndataset: a.jsonl\ndataset_format: questions\nbf16: true\nlearning_rate: 3.0e-4\nmine: 1\n";
    browser.js_with("return navigator.clipboard.writeText(arguments[0])", vec![json!(pasted)]);
    browser.click(".compose-side button", "Paste");
    browser.wait("the pasted text", |browser| text(browser) == pasted);
    let shown = form(browser);
    let expected = [
        ("model_name_or_path", json!("模型/甲")),
        ("lora_rank", json!("24")),
        ("lora_target", json!("q_proj, v_proj")),
        ("learning_rate", json!("0.0003")),
        ("bf16", json!(true)),
        ("seed", json!("")),
    ];
    for (key, value) in expected {
        assert_eq!(shown[key], value, "{key}");
    }
    let changes = [
        ("model_name_or_path", json!("/a b/it's: \"x\" # 乙"), json!("/a b/it's: \"x\" # 乙")),
        ("lora_rank", json!("32"), json!(32.0)),
        ("lora_target", json!("k_proj, o_proj"), json!(["k_proj", "o_proj"])),
        ("learning_rate", json!("5e-6"), json!(5e-6)),
        ("bf16", json!(""), Value::Null),
        ("packing", json!(""), json!(true)),
        ("rag_documents", json!("手册: 一"), json!("手册: 一")),
        ("lr_scheduler_type", json!("cosine"), json!("cosine")),
        ("memory_limit", json!("12GB"), json!("12GB")),
        ("weight_decay", json!("0.05"), json!(0.05)),
        ("dataset_format", json!(""), Value::Null),
    ];
    let mut expected = read(pasted);
    for (key, typed, value) in changes {
        put(browser, key, &typed);
        if value.is_null() {
            expected.as_object_mut().unwrap().remove(key);
        } else {
            expected[key] = value;
        }
        browser.wait(&format!("{key} in the text"), |browser| read(&text(browser)) == expected);
    }
    let now = text(browser);
    assert!(now.starts_with("# mine\n") && now.contains("lora_rank: 32 # how many\n"), "{now}");
}

/// A text that is no YAML is told with its line, which leads there; the form does not fail over it.
fn breaks(browser: &Browser) {
    let broken = [
        ("stage: sft\nfinetuning_type: lora\nlora_target: [q_proj\nlora_rank: 4\n", 3..=5),
        ("stage: sft\nrag_documents: \"a\nlora_rank: 4\n", 2..=4),
        ("stage: sft\nfinetuning_type: lora\n\tlora_rank: 4\n", 2..=3),
        ("stage: sft\nlora_rank: 4\nseed: 1\nlora_rank: 8\n", 4..=4),
        ("stage: sft\nlora_rank: a: b\n", 2..=2),
        ("stage: sft\n\nlora_rank: 4.5\ndataset: a.jsonl\n", 3..=3),
    ];
    for (config, lines) in broken {
        browser.fill(".yaml-text", config);
        browser.see(".problem", "");
        // Until the server has looked at this text, the page says what was wrong with the last one.
        let line = browser.js_with(
            "return fetch('/v1/trainings/check', {method: 'POST', headers: {'Content-Type': 'application/json', 'X-Lore-Web': '1'},
               body: JSON.stringify({config: arguments[0]})}).then((answer) => answer.json()).then(({problems}) => [problems[0].line, problems[0].message])",
            vec![json!(config)],
        );
        let at = line[0].as_u64();
        assert!(at.is_some_and(|at| lines.contains(&at)), "{config}: {line}");
        browser.see(".problem", line[1].as_str().unwrap());
        browser.click(".problem button", &format!("line {}", at.unwrap()));
        let chosen = "const area = document.querySelector('.yaml-text');
            return [document.activeElement === area, area.value.slice(area.selectionStart, area.selectionEnd)]";
        let there = config.lines().nth(at.unwrap() as usize - 1).unwrap_or_default();
        assert_eq!(browser.js(chosen), json!([true, there]), "{config}");
    }
}
