// What shows beside something that is pointed at or has the keyboard's focus: a quote behind its number, an explanation.

import { h, uid } from "../dom.js";
import { layerOf, place } from "./place.js";

/** Time until it shows on hover and until it goes, so that the pointer can move into it. */
const SHOW_MS = 120;
const HIDE_MS = 180;

let open = null;
let quiet = false;

/** Gives the focus back to an anchor without what shows beside it: it was seen before, and would stand over the page. */
export function focusQuietly(anchor) {
  quiet = true;
  anchor.focus();
  quiet = false;
}

/**
 * Shows `content` (a node, or a function that gives one at each showing) while `anchor` is pointed at or has the keyboard's focus.
 * Returns what takes it away.
 */
export function popover(anchor, content) {
  let element = null;
  let timer = null;
  const id = uid("popover");

  const hide = () => {
    clearTimeout(timer);
    element?.remove();
    element = null;
    anchor.removeAttribute("aria-describedby");
    document.removeEventListener("keydown", escape, true);
    removeEventListener("scroll", away, true);
    if (open === hide) open = null;
  };
  const away = (event) => {
    if (event.target.contains(anchor)) hide();
  };
  const escape = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    hide();
  };
  const show = () => {
    clearTimeout(timer);
    if (element || !anchor.isConnected) return;
    const inner = typeof content === "function" ? content() : content;
    if (!inner) return;
    open?.();
    open = hide;
    element = h("div", { class: "popover", role: "tooltip", id, onPointerenter: () => clearTimeout(timer), onPointerleave: later }, inner);
    layerOf(anchor).append(element);
    anchor.setAttribute("aria-describedby", id);
    place(element, anchor);
    document.addEventListener("keydown", escape, true);
    addEventListener("scroll", away, true);
  };
  const soon = (event) => {
    if (event.pointerType === "touch") return;
    clearTimeout(timer);
    timer = setTimeout(show, SHOW_MS);
  };
  const later = () => {
    clearTimeout(timer);
    if (!anchor.matches(":focus-visible")) timer = setTimeout(hide, HIDE_MS);
  };
  // A focus that a click brought, or that came back after one, asks for nothing.
  const focused = () => !quiet && anchor.matches(":focus-visible") && show();
  const listeners = { pointerenter: soon, pointerleave: later, focus: focused, blur: hide };
  for (const [name, listener] of Object.entries(listeners)) anchor.addEventListener(name, listener);
  return () => {
    hide();
    for (const [name, listener] of Object.entries(listeners)) anchor.removeEventListener(name, listener);
  };
}
