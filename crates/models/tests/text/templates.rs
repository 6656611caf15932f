//! What templates use of Python and Jinja, and what transformers gives them.

use lore_core::generate::{ChatOptions, Message, Role};
use lore_models::text::ChatTemplate;

fn render(source: &str) -> Result<String, String> {
    let messages = [
        Message::new(Role::System, "Rules."),
        Message::new(Role::User, " a b "),
        Message::new(Role::Assistant, "<think>x</think>\n\nHi"),
    ];
    let names =
        [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    ChatTemplate::new(source, names)
        .and_then(|template| {
            template.render(&messages, &ChatOptions { open_answer: true, thinking: Some(false) })
        })
        .map_err(|error| error.to_string())
}

/// Each with what `jinja2` gives in the environment of `transformers.utils.chat_template_utils`.
#[test]
fn idioms_of_python() {
    let cases = [
        ("{{ messages[1:][0]['content'].strip() }}", "a b"),
        ("{{ messages[::-1][0].role }}", "assistant"),
        ("{{ messages[2].content.split('</think>')[-1].lstrip('\\n') }}", "Hi"),
        ("{{ 'a b  c'.split()[-1] }}{{ 'a,b,c'.split(',', 1)[1] }}", "cb,c"),
        ("{{ messages[0].content.startswith('Ru') and not messages[0].content.endswith('x') }}", "True"),
        ("{{ messages[0].content is string and 'ul' in messages[0]['content'] }}", "True"),
        (
            "{{ messages[0].name is defined }}{{ messages[0].get('name') is none }}{{ messages[0].get('name', 'n') }}",
            "FalseTruen",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "3",
        ),
        (
            "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ loop.index0 }}{% endfor %}",
            "02",
        ),
        (
            "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            "system",
        ),
        (
            "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }}",
            " a b ",
        ),
        ("{{ messages | length }}{{ (messages | last).role[0] | upper }}", "3A"),
        ("{{ bos_token + 'x' ~ eos_token }}", "<s>x</s>"),
        (
            "{{ tools }}{{ tools is defined }}{{ tools is not none }}{{ documents is none }}",
            "NoneTrueFalseTrue",
        ),
        ("{{ enable_thinking }}{{ add_generation_prompt }}{{ unknown }}", "FalseTrue"),
        (
            "{% macro say(text, end='!') %}{{ text }}{{ end }}{% endmacro %}{{ say('a') }}{{ say('b', end='?') }}",
            "a!b?",
        ),
        ("{% set x %}in{% endset %}{{ x if x else 'out' }}", "in"),
        ("{{ messages[0] | tojson }}", "{\"role\": \"system\", \"content\": \"Rules.\"}"),
        (
            "{{ {'b': [1, 2.5, true, none, '<é\\n>'], 'a': {}} | tojson }}",
            "{\"b\": [1, 2.5, true, null, \"<é\\n>\"], \"a\": {}}",
        ),
        (
            "{{ {'a': [1, {'b': 2}], 'c': []} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": []\n}",
        ),
        (
            "{{ '%s' | format('x') }}{{ 'A'.lower() }}{{ 'a-b'.replace('-', '+') }}{{ 'ab'.title() }}",
            "xaa+bAb",
        ),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"),
        ("{{ range(3) | list | length }}{{ (1, 2)[1] }}{{ 7 // 2 }}{{ 7 % 4 }}", "3233"),
        ("  {% if true %}\n  x\n  {% endif %}\ny\n", "  x\ny"),
        ("{%- generation %}\nx\n{%- endgeneration -%}\ny", "xy"),
        ("a{% generation %}\nb{% endgeneration %}c", "abc"),
        ("{{- 'x' -}}\n  y", "xy"),
    ];
    for (source, wanted) in cases {
        assert_eq!(render(source).as_deref(), Ok(wanted), "{source}");
    }
}

#[test]
fn the_time_can_be_asked() {
    let year = render("{{ strftime_now('%Y') }}").unwrap();
    assert!(year.parse::<u32>().unwrap() > 2000);
    assert_eq!(render("{{ strftime_now('%d %b %Y') | length }}").unwrap(), "11");
    assert!(render("{{ strftime_now('%!') }}").is_err());
}

#[test]
fn failures_say_what_and_where() {
    let refused = render("{{ raise_exception('only one user') }}").unwrap_err();
    assert_eq!(refused, "the model's chat template refuses the chat: only one user");
    let inside = render("{% macro m() %}{{ raise_exception('inside') }}{% endmacro %}{{ m() }}").unwrap_err();
    assert_eq!(inside, "the model's chat template refuses the chat: inside");
    let wrong = render("\n{{ messages.nothing.at.all }}").unwrap_err();
    assert!(wrong.contains("cannot be rendered: line 2"), "{wrong}");
    assert!(
        render("{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}")
            .is_err()
    );
}
