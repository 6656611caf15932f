// Versions that are kept, and what each changed.

import { api } from "../core/api.js";
import { h, replace, uid } from "../core/dom.js";
import { bytes, dateTime, number, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { documentPath, originalPath } from "../core/paths.js";
import { busy, errorState, skeleton } from "../core/ui.js";

const TAGS = { same: "span", removed: "del", added: "ins" };

/** The versions of a document, newest first. */
export function versions(document) {
  const newestFirst = [...document.versions].sort((one, other) => other.version - one.version);
  if (newestFirst.length === 0) return h("p", { class: "dim" }, t("documents.versions.none"));
  return h("div", {},
    h("p", { class: "dim small" }, t("documents.versions.about")),
    h("ol", { class: "versions" }, newestFirst.map((version, index) => entry(document, version, newestFirst[index + 1]))));
}

function entry(document, version, before) {
  const id = uid("changes");
  const panel = h("div", { id, class: "changes", hidden: true });
  const button = before && h("button",
    { type: "button", class: "button small", "aria-expanded": "false", "aria-controls": id, onClick: () => toggle() },
    icon("chevron", 14), t("documents.versions.changes", { n: before.version }));
  const toggle = () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
    if (!panel.hidden && panel.childElementCount === 0) show();
  };
  const show = async () => {
    replace(panel, skeleton(4));
    try {
      const found = await busy(button, api.get(documentPath(document.id, "/changes"), { from: before.version, to: version.version }));
      replace(panel, comparison(found));
    } catch (error) {
      replace(panel, errorState(error, show));
    }
  };
  return h("li", { class: "kept-version" },
    h("div", { class: "version-head" },
      h("strong", {}, t("documents.versions.number", { n: version.version })),
      version.version === document.version && h("span", { class: "badge good" }, t("documents.versions.live")),
      h("span", { class: "dim small" }, dateTime(version.created_at), " · ", bytes(version.size)),
      h("span", { class: "version-actions" }, button,
        h("a", { class: "button small", href: originalPath(document.id, { version: version.version }), target: "_blank", rel: "noopener" },
          t("documents.original"), icon("external", 14)))),
    panel);
}

/** What differs, place by place. */
function comparison({ hunks, added, removed, truncated }) {
  if (hunks.length === 0) return h("p", { class: "dim" }, t("documents.versions.same"));
  return [
    h("p", { class: "small dim" }, plural("documents.versions.places", hunks.length),
      " · ", h("span", { class: "plus" }, `+${number(added)}`), " ", h("span", { class: "minus" }, `−${number(removed)}`), ` ${t("documents.versions.characters")}`),
    h("ol", { class: "hunks" }, hunks.map((hunk) =>
      h("li", { class: "hunk" }, hunk.parts.map(({ kind, text }) => h(TAGS[kind] ?? "span", {}, text))))),
    truncated && h("p", { class: "notice warn" }, t("documents.versions.truncated")),
  ];
}
