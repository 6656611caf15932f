// The small numbers behind statements, and the stretches that have no source.
//
//   citationMark(citation, index, number)   a button with the number; data-cite says which
//   doubtMark(index)                 a button with a question mark
//   place(fragment, make)            puts them where the signs of text.js stand in rendered Markdown
//   quoteCard(citation)  doubtCard(doubt)   what shows beside a mark

import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { SIGN } from "./text.js";

/** Longest quote in a card, in characters; the source beside it shows all. */
const QUOTE_CHARS = 600;

/** The mark of a citation; `index` is its place in the answer's citations. */
export const citationMark = (citation, index, number) =>
  h("button", { type: "button", class: "cite", dataset: { cite: index }, "aria-label": t("ask.cite.label", { n: number, title: citation.title || citation.name }) },
    String(number));

/** The mark of a statement without a source; `index` is its place in the answer's doubts. */
export const doubtMark = (index) =>
  h("button", { type: "button", class: "cite doubt", dataset: { doubt: index }, "aria-label": t("ask.doubt.label") }, "?");

/** Replaces the signs in `fragment` by what `make(kind, index)` gives; text between u and e is shown as unsupported. */
export function place(fragment, make) {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  const open = new Set();
  for (const node of nodes) {
    const text = node.data;
    if (open.size === 0 && !text.includes("⟦‡")) continue;
    const parts = [];
    let written = 0;
    const words = (end) => {
      if (end <= written) return;
      const piece = text.slice(written, end);
      parts.push(open.size > 0 && piece.trim() ? h("span", { class: "unsupported" }, piece) : piece);
    };
    for (const match of text.matchAll(SIGN)) {
      words(match.index);
      written = match.index + match[0].length;
      const [, kind, number] = match;
      const index = Number(number);
      if (kind === "u") open.add(index);
      if (kind === "e") open.delete(index);
      const mark = kind === "u" ? null : make(kind, index);
      if (mark) parts.push(mark);
    }
    words(text.length);
    node.replaceWith(...parts);
  }
  return fragment;
}

/** The headings above a place; one that only repeats the title is left out. */
export const below = ({ headings = [], title }) => (headings[0] === title ? headings.slice(1) : headings);

/** Where a quote stands, in words. */
export function whereabouts(citation) {
  const parts = [];
  if (citation.page) parts.push(t("ask.page", { n: citation.page }));
  const headings = below(citation);
  if (headings.length > 0) parts.push(headings.join(" › "));
  return parts.join(" · ");
}

const short = (text) => (text.length > QUOTE_CHARS ? `${text.slice(0, QUOTE_CHARS).trimEnd()}…` : text);

/** The quote with its document, page and heading. */
export function quoteCard(citation) {
  const place = whereabouts(citation);
  const quote = citation.quote.trim();
  return h("div", { class: "quote-card" },
    quote ? h("blockquote", {}, short(quote)) : h("p", { class: "dim" }, t("ask.quote.gone")),
    h("p", { class: "quote-title" }, citation.title || citation.name),
    place && h("p", { class: "quote-place" }, place),
    h("p", { class: "quote-hint" }, t("ask.quote.hint")));
}

/** Why a statement counts as unsupported, and what came nearest. */
export function doubtCard({ citation }) {
  return h("div", { class: "quote-card" },
    h("p", { class: "doubt-why" }, citation ? t("ask.doubt.near") : t("ask.doubt.none")),
    citation?.quote.trim() && h("blockquote", {}, short(citation.quote.trim())),
    citation && h("p", { class: "quote-title" }, citation.title || citation.name),
    citation && h("p", { class: "quote-place" }, whereabouts(citation)),
    citation && h("p", { class: "quote-hint" }, t("ask.quote.hint")));
}
