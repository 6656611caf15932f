// The settings page: figures, health, keys, groups, the running configuration.

import { $, h, isAdmin, replace } from "../core/dom.js";
import { load, t } from "../core/i18n.js";
import { tabs } from "../core/ui.js";
import { configurationPanel } from "./configuration.js";
import { figuresPanel } from "./figures.js";
import { groupsPanel } from "./groups.js";
import { healthPanel } from "./health.js";
import { keysPanel } from "./keys.js";

const PANELS = {
  figures: figuresPanel,
  health: healthPanel,
  keys: keysPanel,
  groups: groupsPanel,
  configuration: configurationPanel,
};

async function start() {
  await load("settings");
  const root = $("#settings");
  if (!isAdmin) {
    replace(root, h("p", { class: "notice" }, t("settings.adminOnly")), healthPanel().element);
    return;
  }
  let shown = null;
  // A panel that is not shown asks the server for nothing.
  const enter = (id) => {
    made.get(shown)?.leave?.();
    shown = id;
    made.get(id)?.enter?.();
  };
  const made = new Map();
  const list = Object.entries(PANELS).map(([id, make]) => ({
    id,
    label: t(`settings.tab.${id}`),
    panel: () => {
      const panel = make();
      made.set(id, panel);
      return panel.element;
    },
  }));
  const named = () => (location.hash.slice(1) in PANELS ? location.hash.slice(1) : "figures");
  const view = tabs(list, {
    selected: named(),
    label: t("core.title.settings"),
    onSelect: (id) => {
      history.replaceState(null, "", `#${id}`);
      enter(id);
    },
  });
  replace(root, view.element);
  enter(named());
  addEventListener("hashchange", () => view.select(named()));
}

start();
