// What can be done with an answer: copy it, have it written again, say what it was worth.

import { h } from "../core/dom.js";
import { duration, number, percent, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { copied } from "../core/ui.js";
import { feedbackButtons } from "./feedback.js";
import { withFootnotes } from "./text.js";

const button = (name, label, action, extra = null) =>
  h("button", { type: "button", class: ["button quiet small", extra], dataset: { action } }, icon(name, 16), h("span", { class: "button-words" }, label));

/** The row below an answer. */
export function actions(turn) {
  const { summary } = turn;
  const form = h("div", { class: "feedback-place" });
  return h("div", { class: "answer-actions" },
    h("div", { class: "answer-buttons" },
      button("copy", t("ask.copy"), "copy"),
      button("refresh", t("ask.regenerate"), "regenerate", "only-last"),
      feedbackButtons(turn, form),
      h("span", { class: "answer-meta", title: details(summary) }, meta(summary))),
    form);
}

function meta(summary) {
  const parts = [];
  if (summary.model !== "extractive") parts.push(summary.model);
  else if (summary.answered) parts.push(t("ask.model.extractive"));
  if (summary.timings?.total_ms > 0) parts.push(duration(summary.timings.total_ms / 1000));
  return parts.join(" · ");
}

function details({ confidence, timings, usage, answered }) {
  const parts = [];
  if (answered) parts.push(t("ask.meta.confidence", { share: percent(confidence) }));
  if (timings?.total_ms > 0) {
    parts.push(t("ask.meta.timings", { search: duration(timings.retrieve_ms / 1000), write: duration(timings.answer_ms / 1000) }));
  }
  if (usage) parts.push(t("ask.meta.tokens", { read: number(usage.prompt_tokens), written: number(usage.completion_tokens) }));
  return parts.join("\n");
}

/** Puts the answer on the clipboard, its sources as footnotes. */
export function copy(turn) {
  const words = { noSource: t("ask.noSource"), page: (n) => t("ask.page", { n }) };
  return copied(withFootnotes(turn.summary, words), t("ask.copied"));
}
