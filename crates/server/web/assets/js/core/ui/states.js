// What a page shows where there is nothing yet, nothing at all, or where something failed.

import { h } from "../dom.js";
import { has, t } from "../i18n.js";
import { icon } from "../icons.js";

/** The words for a failure: the page's own for its code, those of all pages, or what holds for any. */
function wordsOf({ status, code, requestId: id }) {
  const any = status >= 400 && status < 500 ? "invalid" : "other";
  const name = code === "internal" && !id ? "fault" : code;
  return t([`${document.documentElement.dataset.page}.error.${name}`, `core.error.${name}`].find(has) ?? `core.error.${any}`, { id });
}

/** What failed, as children of a node: in the page's language, with the server's own words where ours end in a colon. */
export function errorWords(error) {
  // The browser's own errors have numbers for codes.
  if (typeof error?.code !== "string") return [error?.message || t("core.failed")];
  const words = wordsOf(error);
  return /[:：]$/.test(words) ? [words, " ", h("span", { lang: "en" }, error.message)] : [words];
}

/** Where there is nothing: a picture, what is missing, and the next step. */
export const emptyState = ({ icon: name = null, title, text = null, action = null }) =>
  h("div", { class: "empty" }, name && icon(name, 32), h("h2", {}, title), text && h("p", {}, text), action);

/** Where something failed: why, and a way to try again. */
export const errorState = (error, retry = null) =>
  h("div", { class: "empty bad", role: "alert" },
    icon("alert", 32),
    h("h2", {}, t("core.failed")),
    h("p", {}, errorWords(error)),
    retry && h("button", { type: "button", class: "button", onClick: retry }, icon("refresh", 16), t("core.retry")));

/** Grey lines in the place of what is being loaded. */
export const skeleton = (lines = 3) =>
  h("div", { class: "skeletons", role: "status", "aria-label": t("core.loading") },
    Array.from({ length: lines }, () => h("div", { class: "skeleton" })));

/** Turns a control off until the promise ends, and passes that on. */
export async function busy(element, promise) {
  element.setAttribute("aria-busy", "true");
  element.disabled = true;
  try {
    return await promise;
  } finally {
    element.removeAttribute("aria-busy");
    element.disabled = false;
  }
}
