// What a page shows where there is nothing yet, nothing at all, or where something failed.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";

/** Failures that are said in the page's language; of others the server's own words say more. */
const USUAL = new Set(["timeout", "shutting_down", "model_unavailable", "vectors_unavailable", "internal"]);

/** What failed, in words. */
export function errorWords(error) {
  const { status, code, message, requestId: id } = error ?? {};
  if (status === 0) return t(code === "offline" ? "core.offline" : "core.brokenOff");
  if (!USUAL.has(code) || (code === "internal" && !id)) return message || t("core.failed");
  return t(`core.error.${code}`, { id });
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
