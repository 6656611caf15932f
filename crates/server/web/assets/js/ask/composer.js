// The box where questions are written: Enter sends, Shift+Enter makes a line, Esc stops the answer.
//
//   const composer = new Composer({onSend, onStop, filters})   .element
//   composer.running(bool)   composer.fill(text)   composer.replacing(cancel or null)   composer.focus()
//   composer.keep(key, other)   composer.recall(key): what is in the box, for this tab

import { h, replace } from "../core/dom.js";
import { charLength, keep, kept } from "../core/format.js";
import { number, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";

/** Longest question, as the server bounds it unless it is set otherwise; from NEAR on the count shows. */
const CHARS = 4_000;
const NEAR = 3_600;

/** The question box. */
export class Composer {
  constructor({ onSend, onStop, filters }) {
    this.onSend = onSend;
    this.onStop = onStop;
    this.isRunning = false;
    this.input = h("textarea", { class: "composer-input", rows: 1, placeholder: t("ask.placeholder"), "aria-label": t("ask.question"), "aria-describedby": "composer-hint", autocomplete: "off", enterkeyhint: "send" });
    this.count = h("span", { class: "composer-count num", "aria-live": "polite", hidden: true });
    this.send = h("button", { type: "submit", class: "button primary icon composer-send" });
    this.hint = h("span", { class: "composer-hint", id: "composer-hint" }, t("ask.hint"));
    this.editing = h("div", { class: "filter-chips", hidden: true });
    this.element = h("form", { class: "composer", "aria-label": t("ask.question"), onSubmit: (event) => {
      event.preventDefault();
      if (this.isRunning) this.onStop();
      else this.#submit();
    } },
      filters.panel, filters.chips, this.editing,
      h("div", { class: "composer-box" }, this.input,
        h("div", { class: "composer-row" }, filters.button, this.hint, this.count, this.send)));
    this.input.addEventListener("input", () => this.#changed());
    this.input.addEventListener("keydown", (event) => {
      // While an input method composes a word, Enter belongs to it.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
        event.preventDefault();
        if (!this.isRunning) this.#submit();
      }
    });
    this.running(false);
  }

  /** Shows whether an answer is being written: the button then stops it. */
  running(on) {
    this.isRunning = on;
    const label = t(on ? "ask.stop" : "ask.send");
    replace(this.send, icon(on ? "stop" : "send"));
    this.send.setAttribute("aria-label", label);
    this.send.title = label;
    this.#changed();
  }

  /** Puts a text into the box and the cursor behind it. */
  fill(text) {
    this.input.value = text;
    this.#changed();
    this.focus();
    this.input.setSelectionRange(text.length, text.length);
  }

  /** Says that the question takes the place of the last one, or not any more. */
  replacing(cancel) {
    this.editing.hidden = cancel === null;
    replace(this.editing, cancel && h("span", { class: "chip on" }, icon("edit", 12), h("span", { class: "ellipsis" }, t("ask.editing")),
      h("button", { type: "button", "aria-label": t("ask.editing.cancel"), onClick: cancel }, icon("close", 12))));
  }

  focus() {
    this.input.focus();
  }

  /** Keeps what is in the box, or `other` where that is empty. */
  keep(key, other = "") {
    keep(key, this.input.value.trim() ? this.input.value : other || null, "sessionStorage");
  }

  /** Puts back what was kept. */
  recall(key) {
    const draft = kept(key, "sessionStorage");
    if (draft && this.input.value === "") this.fill(draft);
  }

  #submit() {
    const question = this.input.value.trim();
    if (!question || charLength(question) > CHARS) return;
    this.input.value = "";
    this.#changed();
    this.onSend(question);
  }

  #changed() {
    const { input } = this;
    const length = charLength(input.value);
    this.count.hidden = length < NEAR;
    this.count.textContent = `${number(length)} / ${number(CHARS)}`;
    this.count.classList.toggle("over", length > CHARS);
    this.send.disabled = !this.isRunning && (input.value.trim() === "" || length > CHARS);
    if (CSS.supports("field-sizing", "content")) return;
    input.style.setProperty("height", "auto");
    input.style.setProperty("height", `${input.scrollHeight}px`);
  }
}
