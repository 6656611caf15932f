// Two searches side by side: what moved.

import { h } from "../core/dom.js";
import { number, t } from "../core/i18n.js";

/** Rows that are shown at once, without a box that scrolls. */
const FEW = 12;

/** The places of the hits by their chunks. */
const places = (found) => new Map(found.hits.map((hit, n) => [hit.chunk, n + 1]));

/**
 * The search `b` against `a`: `badge(hit)` shows how far a hit goes from A to B, `table` has all hits with their places,
 * what moved most first.
 */
export function comparison(a, b) {
  const [inA, inB] = [places(a), places(b)];
  const badge = ({ chunk }) => change(inA.get(chunk), inB.get(chunk));
  const all = new Map([...a.hits, ...b.hits].map((hit) => [hit.chunk, hit]));
  const both = [...all.keys()].filter((chunk) => inA.has(chunk) && inB.has(chunk));
  const rows = [...all.values()].map((hit) => {
    const [from, to] = [inA.get(hit.chunk), inB.get(hit.chunk)];
    const weight = from === undefined || to === undefined ? 1000 - (from ?? to) : Math.abs(from - to);
    return { hit, from, to, weight };
  });
  const moved = rows.filter((row) => row.weight > 0).sort((x, y) => y.weight - x.weight);
  const table = h("details", { class: "card moved", open: moved.length > 0 && moved.length <= FEW },
    h("summary", {}, h("h2", {}, moved.length === 0 ? t("search.moved.none") : t("search.moved", {
      moved: number(moved.length), common: number(both.length), union: number(all.size),
    }))),
    moved.length > 0 && h("div", { class: ["scroll-x", moved.length > FEW && "long"], tabindex: "0", role: "region", "aria-label": t("search.moved.table") },
      h("table", { class: "table" },
        h("thead", {}, h("tr", {},
          h("th", { scope: "col" }, t("search.moved.hit")),
          h("th", { scope: "col", class: "num" }, "A"), h("th", { scope: "col", class: "num" }, "B"), h("th", { scope: "col" }, t("search.moved.change")))),
        h("tbody", {}, moved.map(({ hit, from, to }) => h("tr", {},
          h("th", { scope: "row" }, hit.title || hit.name, h("span", { class: "dim small" }, ` ${hit.headings.at(-1) ?? ""}`)),
          h("td", { class: "num" }, from ?? "–"), h("td", { class: "num" }, to ?? "–"),
          h("td", {}, badge(hit))))))));
  return { badge, table };
}

function change(from, to) {
  if (to === undefined) return h("span", { class: "badge bad" }, t("search.move.gone"));
  if (from === undefined) return h("span", { class: "badge good" }, t("search.move.new"));
  const by = from - to;
  if (by === 0) return h("span", { class: "badge", title: t("search.move.same") }, "=");
  const words = t(by > 0 ? "search.move.up" : "search.move.down", { n: Math.abs(by), from, to });
  return h("span", { class: ["badge", by > 0 ? "good" : "warn"], title: words },
    h("span", { "aria-hidden": "true" }, `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}`), h("span", { class: "visually-hidden" }, words));
}
