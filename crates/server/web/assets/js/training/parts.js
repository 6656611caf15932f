// Small parts that several views of the page share.

import { h, uid } from "../core/dom.js";
import { copyText } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { toast } from "../core/ui.js";

const KINDS = { queued: "", running: "accent", paused: "warn", stopping: "warn", succeeded: "good", failed: "bad", stopped: "" };
const RELEASES = { candidate: "accent", live: "good", retired: "", rejected: "bad", failed: "bad" };

/** How a training stands. */
export function stateBadge(training) {
  const { state, wanted } = training;
  const words = state === "running" && wanted === "pause" ? t("training.state.pausing") : t(`training.state.${state}`);
  return h("span", { class: ["badge", KINDS[state]] }, words);
}

/** How a release stands. */
export const releaseBadge = (state) => h("span", { class: ["badge", RELEASES[state]] }, t(`training.release.${state}`));

/** A button with words. */
export const button = (words, run, { kind = "", name = null, ...props } = {}) =>
  h("button", { type: "button", ...props, class: ["button", kind], onClick: run }, name && icon(name, 16), words);

/** A button that copies a text. */
export const copyButton = (text, kind = "small quiet") =>
  button(t("core.copy"), async () => {
    if (await copyText(typeof text === "function" ? text() : text)) toast(t("core.copied"), { kind: "good" });
  }, { kind, name: "copy" });

/** Names with their values. */
export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** A field with its label, explanation and error. */
export function field(label, input, { hint = null, code = null } = {}) {
  const id = input.id || uid("f");
  input.id = id;
  const error = h("p", { class: "error", id: `${id}-e`, hidden: true });
  if (hint) input.setAttribute("aria-describedby", `${id}-h ${id}-e`);
  else input.setAttribute("aria-describedby", `${id}-e`);
  const element = h("div", { class: "field" },
    h("label", { for: id }, label, code && h("code", { class: "key" }, code)),
    input,
    hint && h("p", { class: "hint", id: `${id}-h` }, hint),
    error);
  element.fail = (message) => {
    error.hidden = !message;
    error.textContent = message ?? "";
    if (message) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  return element;
}

/** Runs `work` now and every so many milliseconds while the page is seen and `here()` holds. */
export function poll(work, ms, here) {
  let timer = null;
  const turn = async () => {
    if (!here()) return;
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        // The next turn tries again; the frame says where the server is not reached.
        if (error.status === 404) return;
      }
    }
    timer = setTimeout(turn, ms);
  };
  turn();
  return () => clearTimeout(timer);
}
