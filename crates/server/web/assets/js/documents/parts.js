// Small parts that the list and the open document share.

import { h } from "../core/dom.js";
import { bytes, number, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

const KINDS = { live: "good", pending: "warn", failed: "bad" };

/** The state as a badge; what failed says why on hover. */
export const stateBadge = ({ state, reason }) =>
  h("span", { class: ["badge", KINDS[state]], title: reason ?? null },
    state === "failed" && icon("alert", 12), t(`documents.state.${state}`));

/** A number, or a dash where there is none. */
export const count = (n) => (n === null || n === undefined ? "–" : number(n));

/** Groups that may read a document, in words. */
export const groupsText = (document) => (document.acl.length === 0 ? t("documents.everyone") : document.acl.join(", "));

/** Tags as chips; `most` at most, the rest as a number. */
export function tagChips(tags, { most = Infinity, onPick = null } = {}) {
  const all = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  const chips = all.slice(0, most).map((tag) =>
    onPick
      ? h("button", { type: "button", class: "chip doc-tag", title: t("documents.filterBy", { what: tag }), onClick: () => onPick(tag) }, h("span", { class: "ellipsis" }, tag))
      // In a narrow column the value says more than the key.
      : h("span", { class: "chip doc-tag" }, h("span", { class: "ellipsis", title: tag }, tag.slice(tag.indexOf("=") + 1))));
  if (all.length > most) chips.push(h("span", { class: "dim small", title: all.slice(most).join("\n") }, `+${all.length - most}`));
  return chips;
}

/** What a document is, on one line. */
export function summary(document) {
  const parts = [document.format.toUpperCase()];
  if (document.pages) parts.push(t("documents.pagesOf", { n: number(document.pages) }));
  if (document.version > 0) parts.push(plural("documents.chunksOf", document.chunks), bytes(document.size));
  return parts.join(" · ");
}
