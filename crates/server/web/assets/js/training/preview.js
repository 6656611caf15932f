// The first examples as the model sees them.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { number, percent, t } from "../core/i18n.js";
import { errorState, openDialog, skeleton } from "../core/ui.js";
import { button } from "./parts.js";

/** A button that shows the first examples of the configuration that `text()` gives. */
export const previewButton = (text) => button(t("training.preview"), () => show(text()), { name: "document" });

/** The dialog is there at once, since making the examples takes a while; closing it ends that. */
function show(config) {
  const abort = new AbortController();
  const body = h("div", {});
  openDialog({ title: t("training.preview.title"), size: "wide", body, onClose: () => abort.abort() });
  const load = async () => {
    replace(body, h("p", { class: "dim" }, t("training.reading")), skeleton(8));
    try {
      const found = await api.post("/v1/trainings/preview", { config, count: 5 }, { signal: abort.signal });
      replace(body, content(found));
    } catch (error) {
      if (error.name !== "AbortError") replace(body, errorState(error, load));
    }
  };
  load();
}

const content = ({ examples, notes }) => [
  h("p", { class: "dim" }, t("training.preview.text"), " ", h("ins", { class: "learned" }, t("training.preview.learned"))),
  notes.length > 0 && h("ul", { class: "small dim" }, notes.map((note) => h("li", {}, note))),
  examples.map(example),
];

function example({ id, documents, spans }) {
  const tokens = spans.reduce((sum, span) => sum + span.tokens, 0);
  const learned = spans.reduce((sum, span) => sum + (span.learned ? span.tokens : 0), 0);
  return h("article", { class: "example" },
    h("h3", {}, h("code", {}, id)),
    h("p", { class: "small dim" }, t("training.preview.counts", { tokens: number(tokens), learned: number(learned), share: percent(learned / Math.max(1, tokens)) }),
      documents.length > 0 && ` · ${documents.slice(0, 5).join(", ")}${documents.length > 5 ? "…" : ""}`),
    h("pre", { class: "example-text", tabindex: "0", "aria-label": id }, spans.map((span) => h(span.learned ? "ins" : "span", { class: span.learned ? "learned" : "given" }, span.text))));
}
