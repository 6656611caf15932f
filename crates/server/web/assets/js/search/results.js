// The hits of one search, and what was dropped.

import { h } from "../core/dom.js";
import { pages } from "../core/format.js";
import { duration, number, plural, t } from "../core/i18n.js";
import { popover } from "../core/ui/popover.js";
import { droppedList } from "./dropped.js";
import { brief, hitLink, scoreBar, scoreLine } from "./hit.js";

/** A column of hits; `side` names it where there are two, `badge(hit)` then shows where a hit moved. */
export function results(found, { side, badge, state }) {
  const told = found.explanation;
  const most = Math.max(...found.hits.map((hit) => hit.fused), 1e-9);
  return h("section", { class: "results", "aria-label": side ? t(`search.side.${side}`) : t("search.hits") },
    h("div", { class: "results-head" },
      h("h2", {}, side && h("span", { class: ["side", `side-${side}`] }, side.toUpperCase()), plural("search.hits", found.hits.length)),
      h("p", { class: "small dim" }, summary(found))),
    notes(told, state),
    found.hits.length === 0 && h("p", { class: "dim" }, t("search.none")),
    h("ol", { class: "hits" }, found.hits.map((hit, n) => h("li", {}, card(hit, n + 1, { most, moved: badge?.(hit) })))),
    droppedList(told, found));
}

function summary(found) {
  const told = found.explanation;
  const sides = t("search.candidates", {
    n: number(told.candidates), dense: number(told.dense), lexical: number(told.lexical),
  });
  const time = t("search.time", { total: duration(found.total_ms / 1000), embed: duration(found.embed_ms / 1000) });
  return `${sides} · ${time}`;
}

/** What holds for the whole search: the words, and a language that the embedder does not understand. */
function notes(told, state) {
  const weight = told.fusion.convex?.dense_weight;
  const foreign = state.mode === "hybrid" && !told.understood && told.weights.fusion.convex;
  return [
    foreign && h("p", { class: "notice warn small" }, t("search.foreign", { weight: number(weight) })),
    told.terms.length > 0 && h("p", { class: "terms" },
      h("span", { class: "dim small" }, t("search.terms")),
      told.terms.slice(0, 24).map(({ term, weight: idf }) => h("span", { class: "chip term", title: t("search.term.weight", { weight: number(idf) }) },
        term, h("span", { class: "dim num" }, number(idf, { maximumFractionDigits: 1 }))))),
  ];
}

function card(hit, rank, { most, moved }) {
  const place = [pages(hit.pages) && t("search.page", { pages: pages(hit.pages) }), hit.headings.join(" › ")].filter(Boolean).join(" · ");
  const text = h("p", { class: "hit-text" }, brief(hit.text));
  const more = h("button", { type: "button", class: "hit-more", "aria-expanded": "false", onClick: () => {
    const open = text.classList.toggle("open");
    more.setAttribute("aria-expanded", String(open));
    more.textContent = t(open ? "search.less" : "search.more");
    text.textContent = open ? hit.text : brief(hit.text);
  } }, t("search.more"));
  const folded = hit.folded.length > 0 && h("button", { type: "button", class: "badge" }, plural("search.folded", hit.folded.length));
  if (folded) popover(folded, h("p", {}, t("search.folded.hint")));
  return h("article", { class: "hit" },
    h("div", { class: "hit-head" },
      h("span", { class: "hit-rank num" }, rank),
      hitLink(hit),
      moved, folded,
      hit.why.factor < 1 && h("span", { class: "badge warn" }, t("search.superseded.badge", { factor: number(hit.why.factor) })),
      hit.why.factor > 1 && h("span", { class: "badge accent" }, t("search.wanted.badge", { factor: number(hit.why.factor) }))),
    h("p", { class: "hit-place small dim" }, hit.title && hit.title !== hit.name ? `${hit.name} · ` : null, place),
    scoreBar(hit, hit.why, most),
    scoreLine(hit, hit.why),
    text, more);
}
