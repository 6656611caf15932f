// One question and its answer on the page: while it is written, when it is done, and as it was kept.
//
//   const turn = new Turn(question, page)    page.follow(turn) runs where it grew
//   turn.event(event, data)                  what the stream sends
//   turn.stopped()  turn.failed(error)       other ends
//   turn.restore(saved)                      a turn of a kept conversation
//   turn.dispose()                           takes away what would outlive it

import { api } from "../core/api.js";
import { h, replace, trusted } from "../core/dom.js";
import { charLength, shorten } from "../core/format.js";
import { plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { announce, errorWords } from "../core/ui.js";
import { popover } from "../core/ui/popover.js";
import { actions } from "./actions.js";
import { adopt, citationMark, doubtCard, doubtMark, quoteCard } from "./marks.js";
import { nearest, passages, sourceList } from "./sources.js";
import { StreamText } from "./stream-text.js";
import { doubts, numbered, withoutBars } from "./text.js";

/** Longest part of an answer that is read out when it is done, in characters. */
const READ_CHARS = 1_500;

/** Questions of so many characters may take more than the six lines that are shown of them. */
const LONG_CHARS = 120;

/** A question and its answer. */
export class Turn {
  constructor(question, page) {
    this.question = question;
    this.page = page;
    this.state = "waiting";
    this.summary = null;
    this.sources = [];
    this.feedback = null;
    /** The conversation in which the server keeps it. */
    this.keptIn = null;
    /** The answer whose place it takes, and what was said of that. */
    this.before = null;
    this.popovers = [];
    this.abort = new AbortController();
    this.status = h("p", { class: "answer-status" }, h("span", { class: "spinner", "aria-hidden": "true" }), h("span", {}, t("ask.status.searching")));
    this.text = h("div", { class: "answer-text streaming" });
    this.notes = h("div", { class: "answer-notes" });
    this.foot = h("div", { class: "answer-foot" });
    this.heading = h("h2", { class: "question", tabindex: "-1" }, question);
    const edit = h("button", { type: "button", class: "button icon quiet small only-last", "aria-label": t("ask.edit"), title: t("ask.edit"), dataset: { action: "edit" } }, icon("edit", 16));
    this.element = h("article", { class: "turn", dataset: { state: this.state }, "aria-label": question },
      h("div", { class: "question-row" }, this.heading, edit),
      charLength(question) > LONG_CHARS || question.includes("\n") ? this.#fold() : null,
      h("div", { class: "answer" }, this.status, this.text, this.notes, this.foot));
    this.stream = new StreamText(this.text, () => page.follow(this));
    /** The citations so far. */
    this.seen = [];
    /** Whether the marks are those of the whole answer. */
    this.whole = false;
  }

  /** Shows the first lines of a long question, and the button that shows the rest where there is more. */
  #fold() {
    const button = h("button", { type: "button", class: "question-all", hidden: true, "aria-expanded": "false", onClick: () => {
      const all = !this.heading.classList.toggle("folded");
      button.setAttribute("aria-expanded", String(all));
      button.textContent = t(all ? "ask.question.less" : "ask.question.all");
    } }, t("ask.question.all"));
    this.heading.classList.add("folded");
    this.sizes = new ResizeObserver(() => {
      const { scrollHeight, clientHeight } = this.heading;
      if (this.heading.classList.contains("folded") && clientHeight > 0) button.hidden = scrollHeight <= clientHeight + 2;
    });
    this.sizes.observe(this.heading);
    return button;
  }

  /** One event of the stream; true for the last. */
  event(event, data) {
    if (event === "sources") this.#sources(data.passages);
    else if (event === "token") this.#token(data.text);
    else if (event === "citation") this.#citation(data.citation);
    else if (event === "done") this.#done(data);
    else if (event === "error") this.failed(data);
    return event === "done" || event === "error";
  }

  /** A turn that was kept. */
  restore({ question, withdrawn, summary, sources, feedback }) {
    this.question = question;
    this.feedback = feedback;
    this.sources = sources;
    if (withdrawn) {
      this.#state("withdrawn");
      this.status.remove();
      replace(this.notes, h("p", { class: "notice warn" }, t("ask.withdrawn")));
      return;
    }
    this.#end(summary);
  }

  /** The person stopped it. */
  stopped() {
    this.stream.flush();
    this.#state("stopped");
    this.status.remove();
    replace(this.notes, this.#ended("notice", t("ask.stopped"), t("ask.again")));
    announce(t("ask.stopped"));
  }

  /** It failed: an ApiError, or the stream's last event. */
  failed(error) {
    this.stream.flush();
    this.#state("failed");
    this.status.remove();
    const own = { broken_off: "ask.brokenOff", overloaded: "ask.overloaded", conversation_gone: "ask.conversationGone" }[error.code];
    const box = this.#ended("notice bad", own ? t(own) : errorWords(error), t("core.retry"));
    box.setAttribute("role", "alert");
    replace(this.notes, box);
  }

  /** Takes away what would outlive its element. */
  dispose() {
    this.abort.abort();
    this.sizes?.disconnect();
    this.stream.stop();
    this.#dropPopovers();
  }

  #state(state) {
    this.state = state;
    this.element.dataset.state = state;
  }

  #say(words) {
    this.status.lastChild.textContent = words;
  }

  #sources(found) {
    this.sources = found;
    this.#say(found.length > 0 ? plural("ask.status.reading", found.length) : t("ask.status.searching"));
  }

  #token(text) {
    if (this.state !== "writing") {
      this.#state("writing");
      this.#say(t("ask.status.writing"));
    }
    this.stream.append(text);
  }

  #citation(citation) {
    const end = citation.answer_span.end;
    const index = this.seen.push(citation) - 1;
    if (citation.verdict !== "supported") {
      const mark = doubtMark(index);
      this.#popover(mark, () => doubtCard({ citation }));
      this.stream.mark(end, mark);
      return;
    }
    const number = numbered(this.seen).find((entry) => entry.index === index)?.number ?? index + 1;
    const mark = citationMark(citation, index, number);
    this.#popover(mark, () => quoteCard(citation));
    this.stream.mark(end, mark);
  }

  #done(summary) {
    this.stream.flush();
    this.#end(summary);
    if (this.element.isConnected) announce(t("ask.ready", { answer: shorten(summary.answer, READ_CHARS) }));
  }

  /** Shows a whole answer. */
  #end(summary) {
    this.summary = summary;
    // What was said of the answer before holds for the same words.
    if (this.before?.answer === summary.answer) this.feedback = this.before.feedback;
    this.numbered = numbered(summary.citations);
    this.doubts = doubts(summary);
    this.status.remove();
    this.#state("done");
    this.element.classList.toggle("not-found", !summary.answered);
    if (this.text.textContent === "") this.#plain();
    this.#render();
    replace(this.notes, this.#remarks());
    replace(this.foot, sourceList(this), actions(this), passages(this));
    this.page.follow(this);
  }

  /** The answer as plain text with its marks, until the server has made HTML of it. */
  #plain() {
    this.#dropPopovers();
    this.stream.stop();
    this.whole = true;
    replace(this.text);
    this.stream = new StreamText(this.text, null);
    this.stream.append(shown(this.summary));
    for (const { citation, index, number } of this.numbered) this.stream.mark(citation.answer_span.end, citationMark(citation, index, number));
    this.doubts.forEach(({ span }, index) => this.stream.mark(span.end, doubtMark(index)));
    this.stream.flush();
    this.#cards();
  }

  async #render() {
    const { signal } = this.abort;
    let html;
    try {
      ({ html } = await api.post("/web/render", this.#markdown(), { signal }));
    } catch {
      // The plain text says the same.
      if (!signal.aborted) this.#plain();
      return;
    }
    if (signal.aborted) return;
    const fragment = adopt(trusted(html), this.numbered);
    this.#dropPopovers();
    this.stream.stop();
    this.stream.pieces = [];
    this.whole = true;
    this.text.className = "answer-text prose";
    replace(this.text, fragment);
    this.#cards();
    this.page.follow(this);
  }

  /** What is to be rendered: the text, and where its marks belong. */
  #markdown() {
    const citations = this.numbered.map(({ citation, number }) => ({ ...citation.answer_span, number }));
    const spans = this.doubts.map(({ span: { start, end } }) => ({ start, end, kind: "unsupported" }));
    return { text: shown(this.summary), citations, spans };
  }

  #cards() {
    for (const mark of this.text.querySelectorAll("button.cite")) {
      const { cite, doubt } = mark.dataset;
      if (cite !== undefined) this.#popover(mark, () => quoteCard(this.summary.citations[cite]));
      else this.#popover(mark, () => doubtCard(this.doubts[doubt]));
    }
  }

  #popover(mark, content) {
    this.popovers.push(popover(mark, content));
  }

  #dropPopovers() {
    for (const away of this.popovers) away();
    this.popovers = [];
  }

  #remarks() {
    const { summary } = this;
    const out = [];
    if (summary.rewritten && summary.rewritten.trim() !== this.question.trim()) {
      out.push(h("p", { class: "answer-remark" }, t("ask.rewritten", { question: summary.rewritten })));
    }
    if (summary.answered && this.doubts.length > 0) {
      out.push(h("p", { class: "answer-remark warn" }, icon("alert", 16), plural("ask.doubts", this.doubts.length)));
    }
    if (summary.finish === "length") out.push(h("p", { class: "answer-remark warn" }, icon("alert", 16), t("ask.cut")));
    if (!summary.answered) out.push(nearest(this));
    return out;
  }

  #ended(kind, words, again) {
    return h("div", { class: [kind, "row"] }, h("span", { class: "grow" }, words),
      h("button", { type: "button", class: "button small", dataset: { action: "retry" } }, icon("refresh", 16), again));
  }

  /** What a click on a mark opens. */
  source(mark) {
    const { cite, doubt } = mark.dataset;
    if (cite !== undefined) return this.summary?.citations[cite] ?? this.seen[cite];
    // Until the whole answer is shown, a doubt's index is that of its citation.
    return this.whole ? this.doubts[doubt]?.citation : this.seen[doubt];
  }
}

/** The answer as it is shown: the documents that came near stand below it as links, so that its end need not name them. */
function shown(summary) {
  const { answered, nearest } = summary;
  const answer = withoutBars(summary);
  if (answered || nearest.length === 0) return answer;
  const titles = nearest.map((one) => one.title || one.name);
  const end = ["; ", "；"].flatMap((between) => [".", "。"].map((dot) => titles.join(between) + dot)).find((end) => answer.endsWith(end));
  return end ? answer.slice(0, -end.length).replace(/[^.。]*$/, "").trimEnd() || answer : answer;
}
