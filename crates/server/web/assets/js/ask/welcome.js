// What an empty page shows: what this is, and questions that the documents should answer.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { lang, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

/** The empty page; `ask(question)` runs for a suggestion. */
export function welcome(ask) {
  const list = h("ul", { class: "suggestions", "aria-label": t("ask.welcome.try") });
  const box = h("div", { class: "welcome" },
    h("h2", {}, t("ask.welcome.title")),
    h("p", { class: "dim" }, t("ask.welcome.text")),
    list);
  fill(list, box, ask);
  return box;
}

async function fill(list, box, ask) {
  let suggestions;
  let documents;
  try {
    ({ suggestions } = await api.get("/web/suggestions", { language: lang }));
    // Documents without headings suggest nothing, and are there all the same.
    if (suggestions.length === 0) documents = (await api.get("/v1/documents", { limit: 1 })).total;
  } catch {
    return; // The box works without them.
  }
  if (documents === 0) {
    box.append(h("p", { class: "row" }, h("span", {}, t("ask.welcome.none")), h("a", { class: "button", href: "/documents" }, icon("upload", 16), t("ask.welcome.upload"))));
    return;
  }
  replace(list, suggestions.map(({ question, title }) =>
    h("li", {}, h("button", { type: "button", class: "suggestion", onClick: () => ask(question) },
      h("span", { class: "suggestion-question" }, question), !question.includes(title) && h("span", { class: "suggestion-title" }, title)))));
}
