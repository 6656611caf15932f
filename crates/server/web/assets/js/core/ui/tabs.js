// Tabs: arrow keys move between them, the panel follows.

import { h, replace, uid } from "../dom.js";

/** Tabs with their panels; a panel that is a function is made when it is first shown. */
export function tabs(list, { selected = list[0]?.id, onSelect = null, label = null } = {}) {
  const prefix = uid("tab");
  const made = new Map();
  const panel = h("div", { class: "tab-panel", role: "tabpanel", tabindex: "0", id: `${prefix}-panel` });
  const buttons = list.map(({ id, label: words }) =>
    h("button",
      { type: "button", role: "tab", id: `${prefix}-${id}`, "aria-controls": panel.id, dataset: { tab: id }, onClick: () => select(id) },
      words));

  const select = (id, tell = true) => {
    const tab = list.find((one) => one.id === id) ?? list[0];
    if (!made.has(tab.id)) made.set(tab.id, typeof tab.panel === "function" ? tab.panel() : tab.panel);
    for (const button of buttons) {
      const on = button.dataset.tab === tab.id;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `${prefix}-${tab.id}`);
    replace(panel, made.get(tab.id));
    if (tell) onSelect?.(tab.id);
  };
  const keys = (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + buttons.length, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const button = buttons[to % buttons.length];
    button.focus();
    select(button.dataset.tab);
  };
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": label, onKeydown: keys }, buttons);
  select(selected, false);
  return { element: h("div", { class: "tabbed" }, bar, panel), select };
}
