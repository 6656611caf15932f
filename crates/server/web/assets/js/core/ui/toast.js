// Short messages at the page's edge, and what screen readers are told.

import { h } from "../dom.js";
import { copyText } from "../format.js";
import { t } from "../i18n.js";
import { icon, iconButton } from "../icons.js";
import { errorWords } from "./states.js";

/** Most messages at once; older ones make room. */
const SHOWN = 4;

let region = null;
let politely = null;

/** Shows a message; those with an action or of kind "bad" stay longer. Returns what closes it. */
export function toast(message, { kind = "info", action = null, ms = action || kind === "bad" ? 10_000 : 4_000 } = {}) {
  if (region === null) {
    region = h("div", { class: "toasts", role: "region", "aria-label": t("core.messages") });
    document.body.append(region);
  }
  let timer = null;
  const close = () => {
    clearTimeout(timer);
    element.remove();
  };
  const run = () => {
    close();
    action.run();
  };
  const element = h("div", { class: ["toast", kind, action && "can-act"], role: kind === "bad" ? "alert" : "status" },
    h("span", { class: "toast-text" }, message),
    action && h("button", { type: "button", class: "button small", onClick: run }, action.label),
    iconButton("close", t("core.close"), { class: "small", onClick: close }));
  // Nobody is hurried while they read or aim.
  const hold = () => clearTimeout(timer);
  const release = () => {
    clearTimeout(timer);
    timer = setTimeout(close, ms);
  };
  element.addEventListener("pointerenter", hold);
  element.addEventListener("focusin", hold);
  element.addEventListener("pointerleave", release);
  element.addEventListener("focusout", release);
  // A modal dialog makes the rest of the page inert, messages too, unless they are in it.
  (document.querySelector("dialog[open]:modal") ?? document.body).append(region);
  region.append(element);
  // What can still be undone stays longest.
  while (region.children.length > SHOWN) (region.querySelector(".toast:not(.can-act, :last-child)") ?? region.firstElementChild).remove();
  release();
  return close;
}

/** Tells what failed; nothing where it was aborted, or where the sign-in page comes. */
export function report(error) {
  if (error?.name === "AbortError" || error?.status === 401) return;
  if (error?.name !== "ApiError") console.error(error);
  toast(errorWords(error), { kind: "bad" });
}

/** Copies a text and says whether that worked. */
export async function copied(text, words = t("core.copied")) {
  const done = await copyText(text);
  toast(done ? words : t("core.copyFailed"), { kind: done ? "good" : "bad" });
  return done;
}

/** A button that copies a text, which may be a function that gives it; `failed()` runs where the browser refuses. */
export const copyButton = (text, kind = "small quiet", failed = null) =>
  h("button", { type: "button", class: ["button", kind], onClick: async () => {
    if (!(await copied(typeof text === "function" ? text() : text))) failed?.();
  } }, icon("copy", 16), t("core.copy"));

/** Says a text to screen readers without showing it. */
export function announce(text) {
  if (politely === null) {
    politely = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    document.body.append(politely);
  }
  politely.textContent = "";
  // The same text twice is only heard as two changes.
  requestAnimationFrame(() => (politely.textContent = text));
}
