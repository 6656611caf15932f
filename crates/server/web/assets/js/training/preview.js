// The first examples as the model sees them.

import { api } from "../core/api.js";
import { h } from "../core/dom.js";
import { number, percent, t } from "../core/i18n.js";
import { busy, openDialog, report } from "../core/ui.js";
import { button } from "./parts.js";

/** A button that shows the first examples of the configuration that `text()` gives. */
export function previewButton(text) {
  const open = button(t("training.preview"), async () => {
    try {
      const found = await busy(open, api.post("/v1/trainings/preview", { config: text(), count: 5 }));
      show(found);
    } catch (error) {
      report(error);
    }
  }, { name: "document" });
  return open;
}

function show({ examples, notes }) {
  openDialog({
    title: t("training.preview.title"),
    size: "wide",
    body: h("div", {},
      h("p", { class: "dim" }, t("training.preview.text"), " ", h("ins", { class: "learned" }, t("training.preview.learned"))),
      notes.length > 0 && h("ul", { class: "small dim" }, notes.map((note) => h("li", {}, note))),
      examples.map(example)),
  });
}

function example({ id, documents, spans }) {
  const tokens = spans.reduce((sum, span) => sum + span.tokens, 0);
  const learned = spans.reduce((sum, span) => sum + (span.learned ? span.tokens : 0), 0);
  return h("article", { class: "example" },
    h("h3", {}, h("code", {}, id)),
    h("p", { class: "small dim" }, t("training.preview.counts", { tokens: number(tokens), learned: number(learned), share: percent(learned / Math.max(1, tokens)) }),
      documents.length > 0 && ` · ${documents.slice(0, 5).join(", ")}${documents.length > 5 ? "…" : ""}`),
    h("pre", { class: "example-text", tabindex: "0", "aria-label": id }, spans.map((span) => h(span.learned ? "ins" : "span", { class: span.learned ? "learned" : "given" }, span.text))));
}
