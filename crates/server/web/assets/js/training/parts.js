// Small parts that several views of the page share.

import { h, replace, uid } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

const KINDS = { queued: "", running: "accent", paused: "warn", stopping: "warn", succeeded: "good", failed: "bad", stopped: "" };
const RELEASES = { candidate: "accent", live: "good", retired: "", rejected: "bad", failed: "bad" };

/** Whether a training may still come further by itself, or once it is let go on. */
export const isOpen = ({ state }) => ["queued", "running", "stopping", "paused"].includes(state);

/** How a training stands. */
export function stateBadge(training) {
  const { state, wanted } = training;
  const words = state === "running" && wanted === "pause" ? t("training.state.pausing") : t(`training.state.${state}`);
  return h("span", { class: ["badge", KINDS[state]] }, words);
}

/** A side of the gate: a model or a release, or that sentences are quoted without one. */
export const sideName = (name) => (name === "extractive" ? t("training.extraction") : name);

/** How a release stands. */
export const releaseBadge = (state) => h("span", { class: ["badge", RELEASES[state]] }, t(`training.release.${state}`));

/** A button with words. */
export const button = (words, run, { kind = "", name = null, ...props } = {}) =>
  h("button", { type: "button", ...props, class: ["button", kind], onClick: run }, name && icon(name, 16), words);

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

/** Longest time between two turns where the server does not answer. */
const SLOWEST_MS = 60_000;

/** Runs `work` now, and every so many milliseconds where the page is seen and `wanted()` holds; less often while it fails. */
export function poll(work, ms, wanted) {
  let failures = 0;
  const turn = async (first) => {
    if (first || (!document.hidden && wanted())) {
      try {
        await work();
        failures = 0;
      } catch (error) {
        // What is gone does not come back; of all else the frame says where the server is not reached.
        if (error.status === 404) return;
        failures += 1;
      }
    }
    setTimeout(turn, Math.min(SLOWEST_MS, ms * 2 ** Math.min(failures, 6)));
  };
  turn(true);
}

/** Gives `element` other children; the focus stays on what has the same data-focus, and a wide table where it was scrolled to. */
export function redraw(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  const left = element.querySelector(".scroll-x")?.scrollLeft;
  replace(element, ...children);
  if (left) element.querySelector(".scroll-x")?.scrollTo({ left, behavior: "instant" });
  if (focused) element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
