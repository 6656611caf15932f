// The text of an answer while it is written: what arrives between two frames is put in at once, as text nodes.

import { CodePoints } from "./text.js";

/** Shows pieces of text and marks in them. */
export class StreamText {
  /** `onFlush` runs after each change of the page. */
  constructor(element, onFlush) {
    this.element = element;
    this.onFlush = onFlush;
    this.waiting = "";
    /** Marks whose text is not shown yet: {end, mark}, ends in code points. */
    this.marks = [];
    /** Text nodes with their code points: {node, start, end}. */
    this.pieces = [];
    this.length = 0;
    this.frame = null;
  }

  /** More text. */
  append(text) {
    this.waiting += text;
    this.#soon();
  }

  /** A mark behind code point `end`. */
  mark(end, mark) {
    this.marks.push({ end, mark });
    this.#soon();
  }

  /** Shows what waits, now. */
  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.#show();
  }

  /** Nothing more is shown. */
  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.waiting = "";
    this.marks = [];
  }

  #soon() {
    // Pages in the background get no frames; the text waits in a string until they are looked at, or it ends.
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#show();
    });
  }

  #show() {
    if (this.waiting) {
      const node = document.createTextNode(this.waiting);
      const start = this.length;
      this.length += new CodePoints(this.waiting).length;
      this.waiting = "";
      this.pieces.push({ node, start, end: this.length });
      this.element.append(node);
    }
    this.marks = this.marks.filter(({ end, mark }) => !this.#insert(end, mark));
    this.onFlush?.();
  }

  #insert(end, mark) {
    if (end > this.length) return false;
    const at = this.pieces.findLastIndex((piece) => piece.start < end);
    if (at < 0) return true;
    const piece = this.pieces[at];
    if (end < piece.end) {
      const rest = piece.node.splitText(new CodePoints(piece.node.data).unit(end - piece.start));
      this.pieces.splice(at + 1, 0, { node: rest, start: end, end: piece.end });
      piece.end = end;
    }
    // Behind the marks that stand there already.
    let before = piece.node;
    while (before.nextSibling?.nodeType === Node.ELEMENT_NODE) before = before.nextSibling;
    before.after(mark);
    return true;
  }
}
