// Which documents may answer: tags, languages, dates, one document.
//
//   const filters = new Filters()     .button, .panel, .chips: parts for the page
//   filters.value() -> the API's filter, or null     filters.clear()     filters.only({document, title})

import { api } from "../core/api.js";
import { h, replace, uid } from "../core/dom.js";
import { day, languageName, number, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { errorState, skeleton } from "../core/ui.js";

/** Most values of a tag that are shown as chips. */
const SHOWN = 40;

/** The filters of the questions to come. */
export class Filters {
  constructor() {
    this.tags = new Map();
    this.languages = new Set();
    this.from = "";
    this.to = "";
    this.document = null;
    this.labels = null;
    const id = uid("filters");
    this.count = h("span", { class: "badge accent", hidden: true });
    this.button = h("button", { type: "button", class: "button quiet small", "aria-expanded": "false", "aria-controls": id, onClick: () => this.toggle() },
      icon("filter", 16), h("span", { class: "button-words" }, t("ask.filters")), this.count);
    this.panel = h("div", { class: "filters", id, role: "group", "aria-label": t("ask.filters"), hidden: true, onKeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();
      this.toggle(false);
      this.button.focus();
    } });
    this.chips = h("div", { class: "filter-chips", hidden: true });
  }

  /** Opens or closes the panel. */
  async toggle(open = this.panel.hidden) {
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    if (this.labels === null) {
      replace(this.panel, skeleton(2));
      try {
        this.labels = await api.get("/v1/labels");
      } catch (error) {
        replace(this.panel, errorState(error, () => this.toggle(true)));
        return;
      }
    }
    this.#draw();
    this.panel.querySelector("button, input")?.focus();
  }

  /** The filter as the API takes it; null where nothing is filtered. */
  value() {
    const filter = {};
    if (this.tags.size > 0) filter.tags = Object.fromEntries([...this.tags].map(([key, values]) => [key, [...values]]));
    if (this.languages.size > 0) filter.languages = [...this.languages];
    if (this.from) filter.date_from = this.from;
    if (this.to) filter.date_to = this.to;
    if (this.document) filter.documents = [this.document.document];
    return Object.keys(filter).length > 0 ? filter : null;
  }

  /** Filters nothing any more. */
  clear() {
    this.tags.clear();
    this.languages.clear();
    this.from = this.to = "";
    this.document = null;
    this.#changed(true);
  }

  /** Asks one document alone. */
  only(document) {
    this.document = document;
    this.#changed(true);
  }

  #draw() {
    const { labels } = this;
    const keys = new Map();
    for (const { key, value, documents } of labels.tags) {
      if (!keys.has(key)) keys.set(key, []);
      if (keys.get(key).length < SHOWN) keys.get(key).push({ value, documents });
    }
    const groups = [...keys].map(([key, values]) =>
      this.#group(key, values.map(({ value, documents }) => this.#toggleChip(value, documents, this.tags.get(key)?.has(value), () => this.#toggleTag(key, value)))));
    if (labels.languages.length > 1) {
      groups.push(this.#group(t("ask.filters.language"), labels.languages.map(({ value, documents }) =>
        this.#toggleChip(languageName(value), documents, this.languages.has(value), () => {
          if (!this.languages.delete(value)) this.languages.add(value);
          this.#changed();
        }))));
    }
    if (labels.first_date) groups.push(this.#dates(labels));
    replace(this.panel,
      groups.length > 0 ? groups : h("p", { class: "dim" }, t("ask.filters.none")),
      h("div", { class: "row filter-foot" },
        h("button", { type: "button", class: "button small", onClick: () => this.clear() }, t("ask.filters.clear")),
        h("button", { type: "button", class: "button small quiet", onClick: () => {
          this.toggle(false);
          this.button.focus();
        } }, t("core.close"))));
  }

  #group(label, chips) {
    const id = uid("group");
    return h("div", { class: "filter-group", role: "group", "aria-labelledby": id }, h("span", { class: "filter-label", id }, label), h("span", { class: "row chips" }, chips));
  }

  #toggleChip(label, count, on, toggle) {
    return h("button", { type: "button", class: "chip", "aria-pressed": String(Boolean(on)), onClick: (event) => {
      const element = event.currentTarget;
      element.setAttribute("aria-pressed", String(element.getAttribute("aria-pressed") !== "true"));
      toggle();
    } }, label, h("span", { class: "dim num" }, number(count)));
  }

  #toggleTag(key, value) {
    const values = this.tags.get(key) ?? new Set();
    if (!values.delete(value)) values.add(value);
    if (values.size > 0) this.tags.set(key, values);
    else this.tags.delete(key);
    this.#changed();
  }

  #dates({ first_date: first, last_date: last }) {
    const field = (label, key) => {
      const id = uid("date");
      return h("span", { class: "row" }, h("label", { for: id }, label),
        h("input", { type: "date", class: "input", id, min: first, max: last, value: this[key], onChange: (event) => {
          this[key] = event.target.value;
          this.#changed();
        } }));
    };
    const id = uid("group");
    return h("div", { class: "filter-group", role: "group", "aria-labelledby": id },
      h("span", { class: "filter-label", id }, t("ask.filters.dated")), field(t("ask.filters.from"), "from"), field(t("ask.filters.to"), "to"));
  }

  #changed(redraw = false) {
    const chips = [];
    const chip = (label, remove) => chips.push(h("span", { class: "chip on" }, h("span", { class: "ellipsis" }, label),
      h("button", { type: "button", "aria-label": t("ask.filters.remove", { name: label }), onClick: () => {
        remove();
        this.#changed(true);
      } }, icon("close", 12))));
    if (this.document) chip(this.document.title, () => (this.document = null));
    for (const [key, values] of this.tags) for (const value of values) chip(`${key}: ${value}`, () => this.#drop(key, value));
    for (const code of this.languages) chip(languageName(code), () => this.languages.delete(code));
    if (this.from) chip(t("ask.filters.since", { day: day(this.from) }), () => (this.from = ""));
    if (this.to) chip(t("ask.filters.until", { day: day(this.to) }), () => (this.to = ""));
    this.count.hidden = chips.length === 0;
    this.count.textContent = String(chips.length);
    if (chips.length > 1) chips.push(iconButton("close", t("ask.filters.clear"), { class: "small", onClick: () => this.clear() }));
    replace(this.chips, chips);
    this.chips.hidden = chips.length === 0;
    if (redraw && !this.panel.hidden && this.labels) this.#draw();
  }

  #drop(key, value) {
    this.tags.get(key)?.delete(value);
    if (this.tags.get(key)?.size === 0) this.tags.delete(key);
  }
}
