//! How a model was taught to answer, in its files.

use lore_core::AnswerStyle;

/// The key in `generation_config.json`.
pub(crate) const STYLE: &str = "lore_answer_style";
/// The key in a GGUF file.
pub(super) const GGUF_STYLE: &str = "lore.answer_style";
/// The names, for errors.
pub(super) const STYLES: &str = "prose or quotes";

/// The style of this name.
pub(super) fn style(name: &str) -> Option<AnswerStyle> {
    match name {
        "prose" => Some(AnswerStyle::Prose),
        "quotes" => Some(AnswerStyle::Quotes),
        _ => None,
    }
}

/// The name of a style.
pub(crate) fn name(style: AnswerStyle) -> &'static str {
    match style {
        AnswerStyle::Prose => "prose",
        AnswerStyle::Quotes => "quotes",
    }
}
