// What was found and is no hit, with the reason.

import { h, replace } from "../core/dom.js";
import { shorten } from "../core/format.js";
import { number, plural, t } from "../core/i18n.js";
import { brief, hitLink, scoreLine } from "./hit.js";

/** How many are shown before somebody asks for all. */
const SHOWN = 12;

const KIND = { not_live: "bad", not_allowed: "bad", gone: "bad", filtered: "warn", superseded: "warn", folded: "accent", below_limit: "" };

/** The dropped candidates of a search; chips choose a reason. */
export function droppedList(told, found) {
  const counts = Object.entries(told.counts);
  const behind = told.candidates - told.examined;
  if (counts.length === 0 && behind <= 0) return null;
  const total = counts.reduce((sum, [, n]) => sum + n, 0);
  const names = new Map(found.hits.map((hit, n) => [hit.chunk, n + 1]));
  const list = h("ul", { class: "dropped" });
  let chosen = null;
  let all = false;
  const chips = counts.map(([reason, n]) =>
    h("button", { type: "button", class: "chip", "aria-pressed": "false", dataset: { reason }, onClick: () => choose(reason) },
      t(`search.reason.${reason}`), h("span", { class: "num dim" }, number(n))));
  const choose = (reason) => {
    chosen = chosen === reason ? null : reason;
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.reason === chosen));
    fill();
  };
  const fill = () => {
    const shown = told.dropped.filter((one) => chosen === null || one.reason === chosen);
    const rest = all ? 0 : shown.length - SHOWN;
    replace(list, shown.slice(0, all ? shown.length : SHOWN).map((one) => h("li", {}, row(one, names))),
      rest > 0 && h("li", {}, h("button", { type: "button", class: "button small", onClick: () => {
        all = true;
        fill();
      } }, plural("search.dropped.rest", rest))),
      shown.length === 0 && h("li", { class: "dim small" }, t(chosen === "gone" ? "search.gone.hint" : "search.dropped.more")));
  };
  fill();
  return h("details", { class: "dropped-box", open: counts.some(([reason]) => reason !== "below_limit") },
    h("summary", {}, h("h3", {}, plural("search.dropped", total))),
    h("div", { class: "row dropped-reasons" }, chips),
    list,
    behind > 0 && h("p", { class: "small dim" }, plural("search.behind", behind)));
}

function row(one, names) {
  const { hit, reason } = one;
  const into = one.into && names.get(one.into);
  const why = into ? t("search.reason.folded.into", { rank: into }) : t(`search.reason.${reason}`);
  return h("article", { class: "dropped-one" },
    h("div", { class: "hit-head" },
      h("span", { class: ["badge", KIND[reason]], title: t(`search.reason.${reason}.hint`) }, why),
      hit ? hitLink(hit) : h("code", { class: "ellipsis small" }, one.chunk)),
    hit && hit.headings.length > 0 && h("p", { class: "hit-place small dim ellipsis" }, hit.headings.join(" › ")),
    hit && scoreLine(hit, one.why),
    hit && h("p", { class: "small dim dropped-text" }, shorten(brief(hit.text), 180)));
}
