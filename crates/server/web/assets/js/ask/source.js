// The source beside the answer: the document's parsed text at the place that a citation names.
//
//   const panel = new SourcePanel({element, onOpen, onClose, onOnly})
//   panel.open({document, version, span, title, name, page, headings, places, at, origin})
//       places: the spans that the answer cites of this version, at: which of them; origin: what gets the focus back

import { ApiError, api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { debounce } from "../core/format.js";
import { day, percent, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { documentPath, originalPath } from "../core/paths.js";
import { emptyState, errorState } from "../core/ui.js";
import { focusQuietly } from "../core/ui/popover.js";
import { SourceText } from "./source-text.js";

/** Parts of the slider. */
const STEPS = 1000;
/** Below this width the source covers the page. */
const SHEET = matchMedia("(max-width: 799px)");

/** The panel; one on a page. */
export class SourcePanel {
  constructor({ element, onOpen, onClose, onOnly }) {
    Object.assign(this, { element, onOpen, onClose, onOnly });
    this.shown = null;
    this.text = null;
    this.working = null;
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      this.close();
    });
    SHEET.addEventListener("change", () => this.#modal());
  }

  get isOpen() {
    return this.shown !== null;
  }

  /** Shows a place in a document. */
  async open(wanted) {
    this.#end();
    this.shown = wanted;
    this.element.hidden = false;
    this.working = new AbortController();
    const { signal } = this.working;
    this.#draw(wanted);
    this.#modal();
    this.onOpen();
    this.title.focus({ preventScroll: true });
    this.#about(wanted, signal);
    await this.#show(wanted.span);
  }

  /** Closes it and gives the focus back. */
  close() {
    if (!this.isOpen) return;
    const { origin } = this.shown;
    this.#end();
    this.shown = null;
    this.element.hidden = true;
    replace(this.element);
    this.#modal();
    this.onClose();
    if (origin?.isConnected) focusQuietly(origin);
  }

  #end() {
    this.working?.abort();
    this.text?.dispose();
    this.text = null;
  }

  #draw(wanted) {
    const { document: id, version, name, title } = wanted;
    this.title = h("h2", { class: "source-title", id: "source-title", tabindex: "-1" }, title || name);
    this.where = h("p", { class: "source-where" });
    this.facts = h("p", { class: "source-facts" }, title && title !== name ? name : "");
    this.original = h("a", { class: "button small", href: originalPath(id, wanted), target: "_blank", rel: "noopener" }, icon("external", 16), t("ask.source.original"));
    this.notes = h("div", { class: "source-notes" });
    this.slider = h("input", { type: "range", min: 0, max: STEPS, value: 0, class: "source-slider", "aria-label": t("ask.source.position") });
    const jump = debounce((value) => this.#jump(Number(value)), 120);
    this.slider.addEventListener("input", () => jump(this.slider.value));
    this.text = new SourceText({
      label: t("ask.source.text"),
      load: (start, end, signal) => api.get(documentPath(id, "/text"), { version, start, end }, { signal }),
      onPosition: (position) => this.#position(position),
    });
    replace(this.element,
      h("header", { class: "source-head" },
        h("div", { class: "source-names" }, this.title, this.facts),
        iconButton("close", t("ask.source.close"), { onClick: () => this.close() })),
      h("div", { class: "source-tools" },
        this.original,
        wanted.span && h("button", { type: "button", class: "button small", onClick: () => this.#back() }, t("ask.source.back")),
        this.#siblings(wanted),
        h("button", { type: "button", class: "button small quiet", onClick: () => this.onOnly({ document: id, title: title || name }) }, icon("filter", 16), t("ask.source.only"))),
      this.notes,
      this.text.element,
      h("footer", { class: "source-foot" }, this.where, this.slider));
  }

  /** Steps through the places that the answer cites of this document. */
  #siblings({ places = [], at = 0 }) {
    if (places.length < 2) return null;
    const count = h("span", { class: "small num", "aria-live": "polite" });
    let now = at;
    const go = (step) => {
      now = (now + step + places.length) % places.length;
      show();
      Object.assign(this.shown, { span: places[now], page: places[now].page });
      this.original.href = originalPath(this.shown.document, this.shown);
      this.#show(places[now]);
    };
    const show = () => replace(count, t("ask.source.place", { n: now + 1, all: places.length }));
    show();
    return h("span", { class: "row source-steps" },
      iconButton("back", t("ask.source.previous"), { class: "small", onClick: () => go(-1) }), count,
      iconButton("back", t("ask.source.next"), { class: "small turned", onClick: () => go(1) }));
  }

  async #show(span, at) {
    const { text } = this;
    try {
      await text.show(span, at);
    } catch (error) {
      if (error.name === "AbortError" || this.text !== text) return;
      if (error instanceof ApiError && error.status === 404) this.#gone();
      else replace(text.body, errorState(error, () => this.#show(span, at)));
    }
  }

  #back() {
    if (!this.text.aim()) this.#show(this.shown.span);
  }

  #jump(step) {
    if (!this.text?.total) return;
    this.#show(this.shown.span ?? null, Math.min(this.text.total - 1, Math.floor((step / STEPS) * this.text.total)));
  }

  #position({ at, total, page: begun, atMark }) {
    if (at === undefined || !this.shown) return;
    // A piece is longer than a page: while the cited place is in sight, it is that one's page.
    const page = (atMark && this.shown.page) || begun;
    const share = total > 0 ? at / total : 0;
    if (document.activeElement !== this.slider) this.slider.value = Math.round(share * STEPS);
    replace(this.where, [page ? t("ask.page", { n: page }) : null, percent(share)].filter(Boolean).join(" · "));
    this.slider.setAttribute("aria-valuetext", this.where.textContent);
  }

  /** What else is known of the document: whether the version is the live one, its date, its format. */
  async #about(wanted, signal) {
    let found;
    try {
      found = await api.get(documentPath(wanted.document), null, { signal });
    } catch {
      return; // The text says what is wrong, if it is.
    }
    if (signal.aborted) return;
    const facts = [found.title === found.name ? null : found.name, found.date ? day(found.date) : null, found.format.toUpperCase()];
    replace(this.facts, facts.filter(Boolean).join(" · "));
    if (!wanted.title && !wanted.name) replace(this.title, found.title);
    const notes = [];
    if (wanted.version && wanted.version !== found.version) {
      notes.push(h("div", { class: "notice warn row" }, h("span", { class: "grow" }, t("ask.source.old", { n: wanted.version, now: found.version })), this.#current()));
    }
    if (found.superseded_by) notes.push(h("p", { class: "notice warn" }, t("ask.source.superseded", { name: found.superseded_by })));
    replace(this.notes, notes);
  }

  #gone() {
    replace(this.text.body, emptyState({ icon: "alert", title: t("ask.source.gone"), text: t("ask.source.goneWhy"), action: this.shown.version && this.#current() }));
  }

  #current() {
    return h("button", { type: "button", class: "button small", onClick: () => this.open({ ...this.shown, version: null, span: null, places: [] }) }, t("ask.source.current"));
  }

  /** A sheet over the page keeps the focus; a pane beside the answer does not. */
  #modal() {
    const sheet = this.isOpen && SHEET.matches;
    if (sheet) {
      this.element.setAttribute("role", "dialog");
      this.element.setAttribute("aria-modal", "true");
    } else {
      this.element.setAttribute("role", "complementary");
      this.element.removeAttribute("aria-modal");
    }
    for (const other of [...document.querySelectorAll(".header, .skip"), ...this.element.parentElement.children]) {
      if (other !== this.element) other.inert = sheet;
    }
  }
}
