// Making and finding elements.
//
//   h(tag, props?, ...children)    an HTML element; children: nodes, strings, numbers, arrays; null and false are skipped
//   svg(tag, props?, ...children)  the same for SVG
//   replace(node, ...children)     the node with these children alone
//   $(selector, root?)             the first match, or null
//   trusted(html)                  a fragment of HTML that this server made safe (answers of /web/render, nothing else)
//   uid(prefix?)                   an id that no other element of the page has
//   plainClick(event)              whether a click on a link stays on this page
//   isAdmin                        whether the person administers this server
//
// Props: class (string or array), dataset {…}, style {…} (set property by property, as the page's policy wants it),
// text, on{Event} (onClick), value/checked/open/disabled (as properties), anything else an
// attribute: true is an empty one, null, undefined and false are none ("false" as a string where ARIA needs it).
// Text is only ever put in as text nodes.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "open", "disabled"]);

/** An HTML element. */
export const h = (tag, ...rest) => build(document.createElement(tag), rest);

/** An SVG element. */
export const svg = (tag, ...rest) => build(document.createElementNS(SVG, tag), rest);

/** The first element that the selector finds below `root`, or null. */
export const $ = (selector, root = document) => root.querySelector(selector);

/** Gives `node` these children in place of its own, and returns it. */
export function replace(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/** A fragment of HTML that the server sanitised; never for any other text. */
export function trusted(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Whether a click follows its link here; with a key held down it is for a new tab or window. */
export const plainClick = (event) => event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey);

/** Whether the person administers this server, as it said with the page. */
export const isAdmin = document.documentElement.dataset.admin === "true";

let ids = 0;

/** An id for `for`, `aria-labelledby` and the like. */
export const uid = (prefix = "u") => `${prefix}-${++ids}`;

function build(element, [props, ...children]) {
  if (!isProps(props)) {
    children.unshift(props);
    props = {};
  }
  props ??= {};
  const late = [];
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") setClass(element, value);
    else if (name === "text") element.append(String(value));
    else if (name === "dataset") setData(element, value);
    else if (name === "style") for (const [key, v] of Object.entries(value)) element.style.setProperty(key, v);
    else if (/^on[A-Z]/.test(name)) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (PROPERTIES.has(name)) late.push([name, value]);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  // A select has its value only once it has its options.
  for (const [name, value] of late) element[name] = value;
  return element;
}

function isProps(value) {
  if (value === undefined || value === null) return true;
  return typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);
}

function setClass(element, value) {
  const names = Array.isArray(value) ? value.filter(Boolean).join(" ") : value;
  if (names) element.setAttribute("class", names);
}

function setData(element, values) {
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== false) element.dataset[key] = value;
  }
}

function flat(children) {
  const whole = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return whole.map((child) => (child instanceof Node ? child : String(child)));
}
