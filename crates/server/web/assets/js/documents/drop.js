// Files dropped anywhere on the page.

import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { bringsFiles, dropped } from "./files.js";

/** Lets files and folders be dropped on `element`; `onFiles` is given a promise of them. */
export function dropTarget(element, onFiles) {
  let depth = 0;
  const veil = h("div", { class: "drop-veil", hidden: true, "aria-hidden": "true" },
    h("div", { class: "drop-words" }, icon("upload", 32), h("strong", {}, t("documents.drop")), h("span", {}, t("documents.drop.text"))));
  element.append(veil);
  const show = (on) => (veil.hidden = !on);
  element.addEventListener("dragenter", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    depth += 1;
    show(true);
  });
  element.addEventListener("dragover", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  element.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) show(false);
  });
  element.addEventListener("drop", (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    show(false);
    onFiles(dropped(event.dataTransfer));
  });
}
