// A menu behind a button: arrow keys, Home, End, first letters, Esc.

import { h, uid } from "../dom.js";
import { icon } from "../icons.js";
import { layerOf, place } from "./place.js";

/** Gives `button` a menu; `items` may be a function, called at each opening. Returns what takes it away. */
export function menu(button, items) {
  const id = uid("menu");
  let element = null;
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");

  const close = (focus = true) => {
    if (element === null) return;
    element.remove();
    element = null;
    button.setAttribute("aria-expanded", "false");
    button.removeAttribute("aria-controls");
    document.removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", away);
    removeEventListener("scroll", away, true);
    if (focus) button.focus();
  };
  // What else scrolls on the page, such as an answer that comes in, moves the button nowhere.
  const away = (event) => {
    if (event.type === "resize" || event.target.contains(button)) close(false);
  };
  const outside = (event) => {
    if (!element.contains(event.target) && !button.contains(event.target)) close(false);
  };
  const open = (last = false) => {
    const given = typeof items === "function" ? items() : items;
    element = h("div", { class: "menu", role: "menu", id, "aria-label": button.getAttribute("aria-label") ?? button.textContent, onKeydown: keys },
      given.map((item) => (item === "-" ? h("hr") : entry(item, close))));
    layerOf(button).append(element);
    button.setAttribute("aria-expanded", "true");
    button.setAttribute("aria-controls", id);
    place(element, button);
    document.addEventListener("pointerdown", outside, true);
    addEventListener("resize", away);
    addEventListener("scroll", away, true);
    const all = entries();
    (last ? all.at(-1) : all[0])?.focus({ preventScroll: true });
  };
  const entries = () => [...element.querySelectorAll("button")];
  const keys = (event) => {
    const all = entries();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[to % all.length]?.focus();
    else if (event.key === "Escape") close();
    else if (event.key === "Tab") return close();
    else if (event.key.length === 1 && event.key !== " ") {
      const order = [...all.slice(at + 1), ...all.slice(0, at + 1)];
      order.find((one) => one.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    } else return undefined;
    event.preventDefault();
    event.stopPropagation();
    return undefined;
  };
  const click = () => (element ? close() : open());
  const arrow = (event) => {
    if (element || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    event.preventDefault();
    open(event.key === "ArrowUp");
  };
  button.addEventListener("click", click);
  button.addEventListener("keydown", arrow);
  return () => {
    close(false);
    button.removeEventListener("click", click);
    button.removeEventListener("keydown", arrow);
  };
}

function entry(item, close) {
  const run = () => {
    close();
    item.run();
  };
  return h("button", { type: "button", role: "menuitem", tabindex: "-1", class: item.danger && "danger", onClick: run },
    item.icon && icon(item.icon, 16), item.label);
}
