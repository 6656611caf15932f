// The line between answer and source: dragged or moved by the arrow keys; the place is remembered.

import { h } from "../core/dom.js";
import { keep, kept, throttleFrame } from "../core/format.js";
import { t } from "../core/i18n.js";

const KEY = "lore_ask_split";
const [LEAST, MOST, USUAL] = [28, 70, 46];

/** A separator that sets --source (per cent of `frame`'s width). */
export function divider(frame) {
  const element = h("div", { class: "divider", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": t("ask.split"), "aria-valuemin": LEAST, "aria-valuemax": MOST, hidden: true });
  let share = USUAL;
  const remember = () => keep(KEY, Math.round(share));
  const set = (value, last = true) => {
    share = Math.min(MOST, Math.max(LEAST, value));
    frame.style.setProperty("--source", `${share}%`);
    element.setAttribute("aria-valuenow", String(Math.round(share)));
    if (last) remember();
  };
  const drag = throttleFrame((x) => {
    const box = frame.getBoundingClientRect();
    set(((box.right - x) / box.width) * 100, false);
  });
  const move = (event) => drag(event.clientX);
  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    element.setPointerCapture(event.pointerId);
    element.addEventListener("pointermove", move);
  });
  const drop = () => {
    element.removeEventListener("pointermove", move);
    remember();
  };
  element.addEventListener("pointerup", drop);
  element.addEventListener("pointercancel", drop);
  element.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: share + 2, ArrowRight: share - 2, Home: MOST, End: LEAST }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    set(to);
  });
  set(kept(KEY) || USUAL, false);
  return element;
}
