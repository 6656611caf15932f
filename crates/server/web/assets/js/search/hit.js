// What a hit shows wherever it stands: a link to its place, its text in brief, and what each side gave to its score.

import { h } from "../core/dom.js";
import { number, t } from "../core/i18n.js";
import { documentPage } from "../core/paths.js";

/** The title as a link to the place in the document. */
export const hitLink = (hit) =>
  h("a", { class: "hit-name ellipsis", href: documentPage(hit.document, hit), title: hit.name }, hit.title || hit.name);

/** The text on a few lines: its headings stand above it, and line ends take room. */
export const brief = (text) => text.replace(/^#{1,6} .*$/gm, "").replace(/\s+/g, " ").trim() || text;

const score = (value, digits = 3) => number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** The fused score as a bar of its two parts; the best hit's fills it. */
export function scoreBar(hit, why, most) {
  const share = (part) => `${Math.max(0, Math.min(100, (part / most) * 100)).toFixed(1)}%`;
  const words = t("search.bar", { dense: score(why.dense_part), lexical: score(why.lexical_part), fused: score(hit.fused) });
  return h("div", { class: "score-bar", role: "img", "aria-label": words, title: words },
    h("span", { class: "part dense", style: { "inline-size": share(why.dense_part) } }),
    h("span", { class: "part lexical", style: { "inline-size": share(why.lexical_part) } }));
}

/** The scores as numbers with their places. */
export function scoreLine(hit, why) {
  const place = (n) => (n ? h("span", { class: "place" }, `#${n}`) : null);
  const entry = (kind, value, rank) =>
    h("div", { class: `score ${kind}` },
      h("dt", {}, t(`search.score.${kind}`)),
      h("dd", { class: "num" }, value === null || value === undefined ? "–" : score(value), place(rank)));
  return h("dl", { class: "scores" },
    entry("dense", hit.dense, why.dense),
    entry("lexical", hit.lexical, why.lexical),
    entry("fused", hit.fused, why.fused),
    hit.rerank !== null && entry("rerank", hit.rerank),
    (hit.score !== hit.fused) && entry("final", hit.score));
}
