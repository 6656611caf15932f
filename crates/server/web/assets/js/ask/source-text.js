// A document's parsed text in a window: pieces around what is looked at are on the page, the rest is fetched as one
// scrolls, so that a text of megabytes costs no more than a short one.

import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { throttleFrame } from "../core/format.js";
import { CodePoints } from "./text.js";

/** Code points of a piece, and the most pieces on the page. */
const PIECE = 4_000;
const PIECES = 14;
/** How many heights of the window are kept ready above and below. */
const AHEAD = 1.5;
/** Code points shown before the highlighted stretch at least. */
const LEAD = 1_500;

/** The scrolling text; `load(start, end, signal)` gives {start, end, total, text, page}. */
export class SourceText {
  constructor({ load, onPosition, label }) {
    this.load = load;
    this.onPosition = onPosition;
    this.body = h("div", { class: "source-pieces" });
    this.element = h("div", { class: "source-text", tabindex: "0", role: "region", "aria-label": label }, this.body);
    this.pieces = [];
    this.span = null;
    this.total = 0;
    this.working = null;
    const follow = throttleFrame(() => {
      this.#report();
      this.#fill();
    });
    this.element.addEventListener("scroll", follow, { passive: true });
    // Another width breaks the lines elsewhere; what was looked at stays in sight.
    this.width = 0;
    this.sizes = new ResizeObserver(() => this.#resized());
    this.sizes.observe(this.element);
  }

  /** Shows the text around `span` (or offset `at`), the span highlighted; ends once it is on the page. */
  async show(span, at = span?.start ?? 0) {
    this.stop();
    const abort = (this.working = new AbortController());
    this.span = span;
    this.pieces = [];
    this.element.setAttribute("aria-busy", "true");
    try {
      const start = Math.max(0, at - LEAD);
      const part = await this.load(start, Math.max(start + PIECE, Math.min(span?.end ?? 0, start + 4 * PIECE)), abort.signal);
      if (abort.signal.aborted) return;
      this.total = part.total;
      // Whole lines, as long as the place looked for stays in.
      const piece = this.#piece(part, { head: start > 0, tail: true, keep: at });
      this.pieces = [piece];
      replace(this.body, piece.element);
      this.element.scrollTop = 0;
      this.#aim(at, start);
    } finally {
      if (this.working === abort) {
        this.working = null;
        this.element.removeAttribute("aria-busy");
      }
    }
    this.#report();
    await this.#fill();
  }

  /** Ends what is being fetched. */
  stop() {
    this.working?.abort();
    this.working = null;
  }

  /** It is not looked at any more. */
  dispose() {
    this.stop();
    this.sizes.disconnect();
  }

  #resized() {
    const width = this.element.clientWidth;
    if (width === this.width || width === 0) return;
    const first = this.width === 0;
    this.width = width;
    if (first || !this.looked) return;
    const { piece, share, atMark } = this.looked;
    if (!(atMark && this.aim())) this.element.scrollTop = piece.element.offsetTop + share * piece.element.offsetHeight - this.element.clientHeight / 3;
    this.#fill();
  }

  /** Scrolls to the highlighted stretch, where it is on the page; false where not. */
  aim() {
    const mark = this.body.querySelector("mark");
    if (!mark) return false;
    const box = this.element.getBoundingClientRect();
    this.element.scrollTop += mark.getBoundingClientRect().top - box.top - box.height / 3;
    return true;
  }

  #markSeen() {
    const mark = this.body.querySelector("mark");
    if (!mark) return false;
    const [inner, outer] = [mark.getBoundingClientRect(), this.element.getBoundingClientRect()];
    return inner.top >= outer.top && inner.top < outer.bottom;
  }

  #aim(at, start) {
    if (this.aim() || at <= start) return;
    const piece = this.pieces[0];
    const share = (at - piece.start) / Math.max(1, piece.end - piece.start);
    this.element.scrollTop = piece.element.offsetHeight * share;
  }

  /** Fetches what is missing above and below, one piece at a time. */
  async #fill() {
    if (this.working || this.pieces.length === 0) return;
    const abort = (this.working = new AbortController());
    try {
      while (!abort.signal.aborted && (await this.#more(abort.signal)));
    } catch (error) {
      // The text that is there stays; scrolling on tries again.
      if (error.name !== "AbortError") this.onPosition?.({ error });
    } finally {
      if (this.working === abort) this.working = null;
    }
  }

  async #more(signal) {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    // A pane that is not shown has no height, and would be filled for ever.
    if (clientHeight === 0) return false;
    const [first, last] = [this.pieces[0], this.pieces.at(-1)];
    if (last.end < this.total && scrollHeight - scrollTop - clientHeight < AHEAD * clientHeight) {
      const part = await this.load(last.end, last.end + PIECE, signal);
      if (signal.aborted) return false;
      const piece = this.#piece(part, { tail: true });
      this.pieces.push(piece);
      this.body.append(piece.element);
      if (this.pieces.length > PIECES) this.#above(() => this.pieces.shift().element.remove());
      return piece.end > piece.start;
    }
    if (first.start > 0 && scrollTop < AHEAD * clientHeight) {
      const part = await this.load(Math.max(0, first.start - PIECE), first.start, signal);
      if (signal.aborted) return false;
      const piece = this.#piece(part, { head: part.start > 0 });
      this.#above(() => {
        this.pieces.unshift(piece);
        this.body.prepend(piece.element);
      });
      if (this.pieces.length > PIECES) this.pieces.pop().element.remove();
      return piece.end > piece.start;
    }
    return false;
  }

  /** Changes something above what is looked at without moving that. */
  #above(change) {
    const before = this.element.scrollHeight;
    const top = this.element.scrollTop;
    change();
    this.element.scrollTop = top + this.element.scrollHeight - before;
  }

  #piece(part, { head = false, tail = false, keep = null }) {
    let { start, text } = part;
    let points = new CodePoints(text);
    const kept = keep === null ? null : points.unit(keep - start);
    const keptEnd = keep === null || !this.span ? kept : points.unit(this.span.end - start);
    let from = 0;
    let to = text.length;
    if (tail && part.end < part.total) {
      const line = text.lastIndexOf("\n") + 1;
      if (line > (keptEnd ?? 0)) to = line;
    }
    if (head) {
      const line = text.indexOf("\n") + 1;
      if (line > 0 && line < to && (kept === null || line <= kept)) from = line;
    }
    start += from === 0 ? 0 : new CodePoints(text.slice(0, from)).length;
    text = text.slice(from, to);
    points = new CodePoints(text);
    const end = start + points.length;
    let mark = null;
    if (this.span && this.span.start < end && this.span.end > start) {
      mark = [points.unit(this.span.start - start), points.unit(this.span.end - start)];
    }
    return { start, end, page: part.page, element: h("div", { class: "source-piece" }, blocks(text, mark)) };
  }

  #report() {
    if (this.pieces.length === 0) return;
    const middle = this.element.scrollTop + this.element.clientHeight / 3;
    const piece = this.pieces.findLast(({ element }) => element.offsetTop <= middle) ?? this.pieces[0];
    const share = Math.min(1, Math.max(0, (middle - piece.element.offsetTop) / Math.max(1, piece.element.offsetHeight)));
    const at = piece.start + share * (piece.end - piece.start);
    const atMark = this.#markSeen();
    if (this.element.clientWidth === this.width) this.looked = { piece, share, atMark };
    this.onPosition?.({ at, total: this.total, page: piece.page, atMark });
  }
}

const kindOf = (line) => (/^#{1,6}\s/.test(line) ? "heading" : /^\s*\|/.test(line) ? "table" : "text");

/** The text as blocks of lines of one kind, character for character; `mark` is [from, to] in UTF-16 units, or null. */
function blocks(text, mark) {
  const out = [];
  let at = 0;
  let begin = 0;
  let kind = null;
  const close = (end) => {
    if (end > begin) out.push(block(kind, text.slice(begin, end), mark && [mark[0] - begin, mark[1] - begin]));
    begin = end;
  };
  while (at < text.length) {
    const end = text.indexOf("\n", at) + 1 || text.length;
    const now = kindOf(text.slice(at, Math.min(end, at + 80)));
    if (now !== kind || now === "heading") close(at);
    kind = now;
    at = end;
  }
  close(text.length);
  return out;
}

function block(kind, text, mark) {
  const props = { class: `source-${kind === "text" ? "line" : kind}` };
  if (kind === "table") Object.assign(props, { tabindex: "0", role: "group", "aria-label": t("ask.source.table") });
  if (kind === "heading") {
    const level = /^#{1,6}\s+/.exec(text)[0].length;
    // The signs of the level stay in the text, so that it is the text that offsets count; they only stand back.
    if (!mark || mark[1] <= 0 || mark[0] >= level) {
      return h("div", props, h("span", { class: "level" }, text.slice(0, level)), highlighted(text.slice(level), mark && [mark[0] - level, mark[1] - level]));
    }
  }
  return h("div", props, highlighted(text, mark));
}

/** The text, the part from mark[0] to mark[1] highlighted. */
function highlighted(text, mark) {
  const [from, to] = mark ? [Math.max(0, mark[0]), Math.min(text.length, mark[1])] : [0, 0];
  if (from >= to) return [text];
  return [text.slice(0, from), h("mark", {}, text.slice(from, to)), text.slice(to)];
}
