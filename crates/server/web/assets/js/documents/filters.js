// The line above the list: search, filters, order.

import { h, replace, uid } from "../core/dom.js";
import { debounce } from "../core/format.js";
import { number, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { isFiltered, unfiltered } from "./query.js";

const TYPING_MS = 220;
const STATES = ["live", "pending", "failed"];
const ORDERS = ["name", "updated", "size", "chunks", "pages"];
const EVERYONE = "\u0000everyone";

/** The filters; `onChange(filters)` is told of each change. */
export function filterBar(onChange) {
  let filters = unfiltered({ sort: "name", descending: false });
  let facets = null;
  const change = (part) => {
    filters = { ...filters, ...part };
    drawClear();
    onChange(filters);
  };
  const typed = debounce(() => change({ q: search.value.trim() }), TYPING_MS);
  const search = h("input", {
    type: "search", class: "input doc-search", placeholder: t("documents.search"), "aria-label": t("documents.search"),
    autocomplete: "off", spellcheck: "false",
    onInput: typed,
    onKeydown: (event) => event.key === "Enter" && typed.flush(),
  });

  const select = (name, onPick) => {
    const id = uid("filter");
    const box = h("select", { id, class: "input", onChange: () => onPick(box.value) });
    return { box, element: h("div", { class: "doc-filter" }, h("label", { for: id, class: "visually-hidden" }, t(`documents.filter.${name}`)), box) };
  };
  const state = select("state", (value) => change({ state: value }));
  const format = select("format", (value) => change({ format: value }));
  const tag = select("tag", (value) => change({ tag: value }));
  const group = select("group", (value) => change(value === EVERYONE ? { group: "", everyone: true } : { group: value, everyone: false }));
  const order = select("sort", (value) => {
    const [sort, way] = value.split(" ");
    change({ sort, descending: way === "down" });
  });
  const clear = h("button", { type: "button", class: "button quiet small", onClick: () => {
    set(unfiltered(filters));
    onChange(filters);
    search.focus();
  } }, icon("close", 14), t("documents.clear"));
  // Where there is little room, the filters are behind a button.
  const toggle = h("button", { type: "button", class: "button doc-toggle", "aria-expanded": "false", onClick: () => {
    const shown = element.classList.toggle("shown");
    toggle.setAttribute("aria-expanded", String(shown));
  } });
  const element = h("div", { class: "doc-filters", role: "search", "aria-label": t("documents.filters") },
    h("div", { class: "doc-searching" }, icon("search", 16), search), toggle,
    state.element, format.element, tag.element, group.element, order.element, clear);

  function options({ box, element }, all, value, counts) {
    const names = Object.keys(counts).filter((name) => name !== "");
    // What the address asks for is shown although nothing matches it any more.
    if (value && !names.includes(value)) names.push(value);
    const label = (name) => (box === state.box ? t(`documents.state.${name}`) : name === EVERYONE ? t("documents.everyone") : box === format.box ? name.toUpperCase() : name);
    replace(box, h("option", { value: "" }, all),
      names.map((name) => h("option", { value: name }, counts[name] === undefined ? label(name) : `${label(name)} (${number(counts[name])})`)));
    box.value = value;
    element.hidden = names.length === 0;
    box.classList.toggle("on", value !== "");
  }

  function drawClear() {
    const { state, format, tag, group, everyone } = filters;
    const active = [state, format, tag, group, everyone].filter(Boolean).length;
    clear.hidden = !isFiltered(filters);
    replace(toggle, icon("filter", 16), t("documents.filter"), active > 0 && h("span", { class: "badge accent" }, number(active)));
  }

  function draw() {
    const known = facets ?? { states: {}, formats: {}, tags: {}, groups: {}, open: 0 };
    options(state, t("documents.filter.state.all"), filters.state, Object.fromEntries(STATES.map((name) => [name, known.states[name] ?? 0])));
    options(format, t("documents.filter.format.all"), filters.format, known.formats);
    options(tag, t("documents.filter.tag.all"), filters.tag, known.tags);
    const groups = Object.keys(known.groups).length > 0 || filters.group || filters.everyone ? { [EVERYONE]: known.open, ...known.groups } : {};
    options(group, t("documents.filter.group.all"), filters.everyone ? EVERYONE : filters.group, groups);
    replace(order.box, ORDERS.flatMap((name) => [false, true].map((down) =>
      h("option", { value: `${name} ${down ? "down" : "up"}` }, t(`documents.order.${name}.${down ? "down" : "up"}`)))));
    order.box.value = `${filters.sort} ${filters.descending ? "down" : "up"}`;
    drawClear();
  }

  function set(next) {
    filters = next;
    if (document.activeElement !== search) search.value = filters.q;
    if (filters.q === "") search.value = "";
    typed.cancel();
    draw();
  }

  return {
    element,
    set,
    setFacets(next) {
      facets = next;
      draw();
    },
    focus: () => search.focus(),
  };
}
