// Keys of the whole page: / goes to the box, Esc steps back, ? lists them.

import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { openDialog } from "../core/ui.js";

const LIST = [["/", "focus"], ["Enter", "send"], ["Shift+Enter", "line"], ["Esc", "escape"], ["Alt+N", "new"], ["Tab", "marks"], ["?", "help"]];

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]") !== null;

/** Listens for the page's keys. */
export function shortcuts({ focus, begin, escape }) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      escape();
      return;
    }
    if (event.altKey && event.code === "KeyN" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      begin();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      event.preventDefault();
      focus();
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    }
  });
}

function help() {
  openDialog({
    title: t("ask.keys"),
    body: h("dl", { class: "keys" }, LIST.map(([keys, what]) =>
      h("div", {}, h("dt", {}, keys.split("+").map((key, at) => [at > 0 && "+", h("kbd", {}, key)])), h("dd", {}, t(`ask.keys.${what}`))))),
  });
}
