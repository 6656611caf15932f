// Below an answer: the sources that it cites, the passages that were read, the documents that came near.

import { h } from "../core/dom.js";
import { shorten } from "../core/format.js";
import { plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { whereabouts } from "./marks.js";

/** Sources that are shown at first. */
const CHIPS = 8;

/** The cited sources, each with its number; a click opens it. */
export function sourceList(turn) {
  const shown = new Map();
  for (const entry of turn.numbered) if (!shown.has(entry.number)) shown.set(entry.number, entry);
  if (shown.size === 0) return null;
  const item = ({ citation, index, number }) =>
    h("li", {},
      h("button", { type: "button", class: "source-chip", dataset: { cite: index } },
        h("span", { class: "source-number" }, String(number)),
        h("span", { class: "source-name" }, citation.title || citation.name),
        whereabouts(citation) && h("span", { class: "source-place" }, whereabouts(citation))));
  const all = [...shown.values()];
  const list = h("ol", { class: "source-list", "aria-label": t("ask.sources") }, all.slice(0, CHIPS).map(item));
  if (all.length > CHIPS) {
    const rest = () => {
      more.remove();
      list.append(...all.slice(CHIPS).map(item));
      list.children[CHIPS].firstChild.focus();
    };
    const more = h("li", {}, h("button", { type: "button", class: "button quiet small", onClick: rest }, plural("ask.sources.all", all.length)));
    list.append(more);
  }
  return list;
}

/** All passages that the answer could cite, made when they are looked at. */
export function passages(turn) {
  if (turn.sources.length === 0) return null;
  const list = h("ul", { class: "passage-list" });
  const fill = () => {
    if (list.firstChild) return;
    list.append(...turn.sources.map((passage, index) =>
      h("li", {},
        h("button", { type: "button", class: "passage", dataset: { passage: index } },
          h("span", { class: "passage-title" }, passage.title || passage.name),
          h("span", { class: "passage-place" }, whereabouts(passage)),
          h("span", { class: "passage-text" }, shorten(passage.text, 240))))));
  };
  return h("details", { class: "passages", onToggle: fill }, h("summary", {}, plural("ask.passages", turn.sources.length)), list);
}

/** Documents that came near, and what to try where nothing was found. */
export function nearest(turn) {
  const { nearest: near } = turn.summary;
  const filtered = turn.filtered;
  if (near.length === 0 && !filtered) return h("p", { class: "answer-remark" }, t("ask.nearest.none"));
  return h("section", { class: "nearest" },
    near.length > 0 && h("h3", {}, t("ask.nearest")),
    near.length > 0 && h("ul", {}, near.map((document, index) =>
      h("li", {}, h("button", { type: "button", class: "chip", dataset: { near: index } }, icon("document", 16),
        h("span", { class: "ellipsis" }, document.title || document.name))))),
    filtered && h("p", { class: "row" }, h("span", {}, t("ask.nearest.filtered")),
      h("button", { type: "button", class: "button small", dataset: { action: "unfiltered" } }, t("ask.nearest.unfiltered"))));
}
