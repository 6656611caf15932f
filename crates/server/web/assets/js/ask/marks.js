// The small numbers behind statements, and the stretches that have no source.
//
//   citationMark(citation, index, number)   a button with the number; data-cite says which
//   doubtMark(index)                 a button with a question mark
//   adopt(fragment, numbers)         puts them into rendered Markdown
//   quoteCard(citation)  doubtCard(doubt)   what shows beside a mark

import { h } from "../core/dom.js";
import { shorten } from "../core/format.js";
import { t } from "../core/i18n.js";

/** Longest quote in a card, in characters; the source beside it shows all. */
const QUOTE_CHARS = 600;

/** The mark of a citation; `index` is its place in the answer's citations. */
export const citationMark = (citation, index, number) =>
  h("button", { type: "button", class: "cite", dataset: { cite: index }, "aria-label": t("ask.cite.label", { n: number, title: citation.title || citation.name }) },
    String(number));

/** The mark of a statement without a source; `index` is its place in the answer's doubts. */
export const doubtMark = (index) =>
  h("button", { type: "button", class: "cite doubt", dataset: { doubt: index }, "aria-label": t("ask.doubt.label") }, "?");

/** Makes the marks in rendered Markdown ours: numbers that can be opened, and a question mark behind each doubt. */
export function adopt(fragment, numbers) {
  for (const mark of fragment.querySelectorAll("button.cite[data-citation]")) {
    const entry = numbers.find(({ number }) => String(number) === mark.dataset.citation);
    if (entry) mark.replaceWith(citationMark(entry.citation, entry.index, entry.number));
    else mark.remove();
  }
  const last = new Map();
  for (const part of fragment.querySelectorAll("span.unsupported[data-span]")) last.set(part.dataset.span, part);
  for (const [index, part] of last) part.after(doubtMark(index));
  return fragment;
}

/** Where a quote or a passage stands, in words; a heading that only repeats the title is left out. */
export function whereabouts({ page, pages, headings = [], title }) {
  const parts = [];
  if (pages && pages.first !== pages.last) parts.push(t("ask.pages", pages));
  else if (page ?? pages) parts.push(t("ask.page", { n: page ?? pages.first }));
  const below = headings[0] === title ? headings.slice(1) : headings;
  if (below.length > 0) parts.push(below.join(" › "));
  return parts.join(" · ");
}

/** The quote with its document, page and heading. */
export function quoteCard(citation) {
  const place = whereabouts(citation);
  const quote = citation.quote.trim();
  return h("div", { class: "quote-card" },
    quote ? h("blockquote", {}, shorten(quote, QUOTE_CHARS)) : h("p", { class: "dim" }, t("ask.quote.gone")),
    h("p", { class: "quote-title" }, citation.title || citation.name),
    place && h("p", { class: "quote-place" }, place),
    h("p", { class: "quote-hint" }, t("ask.quote.hint")));
}

/** Why a statement counts as unsupported, and what came nearest. */
export function doubtCard({ citation }) {
  return h("div", { class: "quote-card" },
    h("p", { class: "doubt-why" }, citation ? t("ask.doubt.near") : t("ask.doubt.none")),
    citation?.quote.trim() && h("blockquote", {}, shorten(citation.quote.trim(), QUOTE_CHARS)),
    citation && h("p", { class: "quote-title" }, citation.title || citation.name),
    citation && h("p", { class: "quote-place" }, whereabouts(citation)),
    citation && h("p", { class: "quote-hint" }, t("ask.quote.hint")));
}
