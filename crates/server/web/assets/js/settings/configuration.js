// The settings that the server runs with, as YAML.

import { api } from "../core/api.js";
import { h } from "../core/dom.js";
import { debounce, download } from "../core/format.js";
import { plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { copyButton, emptyState } from "../core/ui.js";
import { blocks, matching } from "./yaml.js";
import { panel } from "./panel.js";

/** The panel of the configuration. */
export function configurationPanel() {
  return panel({ ask: (signal) => api.get("/v1/configuration", null, { signal }), show, lines: 12 });
}

function show({ yaml }) {
  if (yaml === null) return emptyState({ title: t("settings.configuration.none") });
  const lines = blocks(yaml);
  const code = h("code", {}, yaml);
  const count = h("span", { class: "small dim", role: "status" });
  const find = h("input", {
    class: "input", type: "search", placeholder: t("settings.configuration.find"), "aria-label": t("settings.configuration.find"),
    onInput: debounce(() => {
      const words = find.value.trim().toLowerCase();
      const found = matching(lines, words);
      code.textContent = words === "" ? yaml : found.lines.join("\n");
      count.textContent = words === "" ? "" : plural("settings.configuration.found", found.hits);
    }, 120),
  });
  return [
    h("p", { class: "dim intro" }, t("settings.configuration.intro")),
    h("div", { class: "toolbar" }, find, count,
      h("span", { class: "end row" },
        copyButton(yaml, ""),
        h("button", { type: "button", class: "button", onClick: () => download("lore.yaml", `${yaml}\n`, "application/yaml") }, icon("download", 16), t("core.download")))),
    h("pre", { class: "configuration", tabindex: "0", role: "region", "aria-label": t("settings.tab.configuration") }, code),
  ];
}
