// Groups: they exist where documents or keys name them.

import { api } from "../core/api.js";
import { h } from "../core/dom.js";
import { number, plural, t } from "../core/i18n.js";
import { emptyState } from "../core/ui.js";
import { panel } from "./panel.js";

/** The panel of groups. */
export function groupsPanel() {
  return panel({ ask: (signal) => api.get("/v1/groups", null, { signal }), show });
}

function show(told) {
  const names = (keys) => (keys.length === 0 ? h("span", { class: "dim" }, "–") : keys.map((key) => h("span", { class: "badge", title: `lore_${key.id}_…` }, key.name)));
  const lonely = (group) => (group.documents === 0 ? t("settings.groups.noDocuments") : group.keys.length === 0 ? t("settings.groups.noKeys") : null);
  return [
    h("p", { class: "dim intro" }, t("settings.groups.intro")),
    h("dl", { class: "facts card" },
      fact(t("settings.groups.open"), plural("settings.groups.documents", told.open_documents)),
      fact(t("settings.groups.closed"), plural("settings.groups.documents", told.closed_documents)),
      fact(t("settings.groups.admins"), h("span", { class: "row" }, names(told.admin_keys))),
      fact(t("settings.groups.without"), h("span", { class: "row" }, names(told.keys_without_group)))),
    told.groups.length === 0
      ? emptyState({ title: t("settings.groups.none"), text: t("settings.groups.none.text") })
      : h("div", { class: "scroll-x card table-card", tabindex: "0", role: "region", "aria-label": t("settings.tab.groups") },
        h("table", { class: "table groups" },
          h("thead", {}, h("tr", {},
            h("th", { scope: "col" }, t("settings.groups.name")),
            h("th", { scope: "col", class: "num" }, t("settings.groups.mayRead")),
            h("th", { scope: "col" }, t("settings.groups.keys")))),
          h("tbody", {}, told.groups.map((group) => h("tr", {},
            h("th", { scope: "row" }, group.name, lonely(group) && h("span", { class: "small dim lonely" }, lonely(group))),
            h("td", { class: "num" }, number(group.documents)),
            h("td", {}, h("span", { class: "row" }, names(group.keys)))))))),
  ];
}

const fact = (name, value) => h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value));
