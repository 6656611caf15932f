// The page where questions are asked: puts the parts together and knows which conversation is open.

import { api } from "../core/api.js";
import { $, h, plainClick, replace } from "../core/dom.js";
import { shorten } from "../core/format.js";
import { load, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { documentPath } from "../core/paths.js";
import { stream } from "../core/sse.js";
import { emptyState, errorState, menu, skeleton, toast } from "../core/ui.js";
import { copy } from "./actions.js";
import { Turn } from "./answer.js";
import { Composer } from "./composer.js";
import { Conversations } from "./conversations.js";
import { divider } from "./divider.js";
import { Filters } from "./filters.js";
import { shortcuts } from "./keys.js";
import { request } from "./places.js";
import { SourcePanel } from "./source.js";
import { welcome } from "./welcome.js";

await load("ask");

/** The header's state line, which is loaded beside this. */
const refreshMe = () => import("../core/frame.js").then((frame) => frame.refreshMe());

const WIDE = matchMedia("(min-width: 1100px)");

/** Keeps what is being written while the page is loaded anew: for another language, or to sign in. */
const DRAFT = "lore.ask.draft";

/** What is open: the conversation's id and title, its turns, and the question that is being answered. */
const open = { id: null, title: "", turns: [], running: null };

/** Questions that are being answered in conversations that were left, and most of them. */
const elsewhere = new Set();
const ELSEWHERE = 4;

const filters = new Filters();
const composer = new Composer({ onSend: (question) => ask(question), onStop: stop, filters });
const conversations = new Conversations({ onOpen: show, onDeleted: forget, onRenamed: (one) => one.id === open.id && name(one.title) });

const heading = h("h1", { class: "thread-title" });
const thread = h("div", { class: "thread" });
const end = h("div", { class: "thread-end" });
const scroller = h("div", { class: "thread-scroll", tabindex: "-1" }, thread, end);
const latest = h("button", { type: "button", class: "button small to-latest", hidden: true, onClick: () => toEnd() }, icon("chevron", 16), t("ask.latest"));
const drawerButton = iconButton("menu", t("ask.conversations"), { class: "drawer-button", "aria-expanded": "false", "aria-controls": "conversations", onClick: () => drawer() });
const moreButton = iconButton("more", t("ask.menu"), { hidden: true });
menu(moreButton, () => conversations.entries({ id: open.id, title: open.title }));
const newLink = (extra) => h("a", { href: "/", class: ["button small", extra], title: t("ask.new.title"), onClick: (event) => {
  if (!plainClick(event)) return;
  event.preventDefault();
  begin();
} }, icon("plus", 16), h("span", { class: "button-words" }, t("ask.new")));
const side = h("nav", { class: "conversations", id: "conversations", "aria-label": t("ask.conversations") },
  h("div", { class: "conversations-head" }, h("h2", {}, t("ask.conversations")), newLink("")),
  conversations.element);
const shade = h("div", { class: "drawer-shade", onClick: () => drawer(false) });
const sourceElement = h("div", { class: "source", role: "complementary", "aria-labelledby": "source-title", hidden: true });
const frame = h("div", { class: "ask" }, side, shade,
  h("section", { class: "dialogue", "aria-label": t("ask.dialogue") },
    h("div", { class: "thread-bar" }, drawerButton, heading, moreButton, newLink("bar-new")),
    scroller,
    h("div", { class: "composer-place" }, latest, composer.element)));
const split = divider(frame);
frame.append(split, sourceElement);
const source = new SourcePanel({
  element: sourceElement,
  onOpen: () => {
    split.hidden = false;
    frame.classList.add("with-source");
  },
  onClose: () => {
    split.hidden = true;
    frame.classList.remove("with-source");
  },
  onOnly: (document) => {
    filters.only(document);
    if (!WIDE.matches) source.close();
    composer.focus();
  },
});

// Where the end is in sight, it stays in sight while an answer grows.
let atEnd = true;
new IntersectionObserver(([entry]) => {
  atEnd = entry.isIntersecting;
  latest.hidden = atEnd || open.turns.length === 0;
}, { root: scroller, rootMargin: "80px" }).observe(end);

function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
}

/** Room above a question to whose top the thread is scrolled, in pixels. */
const ABOVE = 12;

/** An answer is read from its beginning: it grows until its question is at the top, and further where the person went on. */
function follow(turn) {
  const top = scroller.scrollTop + turn.heading.getBoundingClientRect().top - scroller.getBoundingClientRect().top - ABOVE;
  if (turn !== open.turns.at(-1) || scroller.scrollTop > top + 2) toEnd();
  else scroller.scrollTop = top;
}

const page = {
  follow: (turn) => atEnd && open.turns.includes(turn) && follow(turn),
};

/** The turn that an element belongs to. */
const turnOf = (element) => open.turns.find((turn) => turn.element === element.closest(".turn"));

thread.addEventListener("click", (event) => {
  const target = event.target.closest("[data-cite], [data-doubt], [data-passage], [data-near], [data-action]");
  const turn = target && turnOf(target);
  if (!turn) return;
  if (target.dataset.action) act(target.dataset.action, turn);
  else {
    const wanted = request(turn, target);
    if (wanted) source.open(wanted);
  }
});

function act(action, turn) {
  if (action === "copy") copy(turn);
  else if (action === "retry") retry(turn);
  else if (action === "regenerate") again(turn, turn.question);
  else if (action === "unfiltered") {
    filters.clear();
    again(turn, turn.question);
  } else if (action === "edit") edit(turn);
}

/** Takes a turn off the page. */
function drop(turn) {
  turn.dispose();
  turn.element.remove();
  open.turns = open.turns.filter((one) => one !== turn);
}

/** Whether the server keeps this turn, or the one whose place it was to take: asking again then takes its place. */
const kept = (turn) => open.id !== null && (turn.keptIn || turn.replaces);

function again(turn, question) {
  if (open.running) return;
  const replaces = kept(turn) && turn === open.turns.at(-1);
  drop(turn);
  ask(question, { replace: replaces, before: turn.summary && { answer: turn.summary.answer, feedback: turn.feedback } });
}

const retry = (turn) => again(turn, turn.question);

/** The turn whose place the next question takes. */
let editing = null;

function setEditing(turn) {
  editing = turn;
  composer.replacing(turn && unedit);
}

/** The next question is a new one after all. */
function unedit() {
  setEditing(null);
  composer.fill("");
}

/** The question goes back into the box; sending it takes the place of the turn. */
function edit(turn) {
  if (open.running) return;
  setEditing(turn);
  composer.fill(turn.question);
}

async function ask(question, { replace: replaces = false, before = null } = {}) {
  if (open.running) return;
  const edited = editing;
  setEditing(null);
  if (edited && edited === open.turns.at(-1)) {
    again(edited, question);
    return;
  }
  if (open.turns.length === 0) replace(thread);
  const turn = new Turn(question, page);
  Object.assign(turn, { replaces, before });
  filters.toggle(false);
  const filter = filters.value();
  turn.filtered = filter !== null;
  open.turns.push(turn);
  thread.append(turn.element);
  toEnd();
  atEnd = true;
  const abort = new AbortController();
  const running = { turn, abort, conversation: open.id };
  open.running = running;
  composer.running(true);
  refreshMe();
  const body = { question, stream: true, conversation: open.id ?? "new", ...(replaces && { replace: true }), ...(filter && { filter }) };
  try {
    await read(turn, body, abort.signal);
  } catch (error) {
    if (abort.signal.aborted) turn.stopped();
    else turn.failed(error.status === 404 && gone(running) ? { ...error, code: "conversation_gone" } : error);
    // The sign-in page comes; the question is there again afterwards.
    if (error.status === 401 && open.running === running) composer.fill(question);
  }
  if (elsewhere.delete(running)) away(running);
  if (open.running === running) {
    open.running = null;
    composer.running(false);
    refreshMe();
  }
}

/** Whether a question was asked in a conversation that is not there any more; the next one begins another. */
function gone({ conversation }) {
  if (conversation === null) return false;
  if (open.id === conversation) {
    open.id = null;
    moreButton.hidden = true;
    conversations.select(null);
    conversations.refresh();
  }
  return true;
}

/** An answer is there, or has failed, in a conversation that is not looked at. */
function away({ turn, conversation }) {
  turn.dispose();
  conversations.refresh();
  refreshMe();
  const asked = { question: shorten(turn.question, 80) };
  const back = async () => {
    const to = turn.keptIn ?? conversation;
    if (to) await show(to);
    // Nothing of it was kept: the question is there to be asked again.
    if (!turn.keptIn) composer.fill(turn.question);
  };
  if (turn.keptIn) toast(t("ask.elsewhere.ready", asked), { action: { label: t("ask.elsewhere.open"), run: back } });
  else toast(t("ask.elsewhere.failed", asked), { kind: "bad", action: { label: t("ask.again"), run: back } });
}

async function read(turn, body, signal) {
  for await (const { event, data } of stream("/v1/ask", body, { signal })) {
    if (event === "done") turn.keptIn = data.conversation ?? null;
    if (!turn.event(event, data)) continue;
    if (event === "done" && data.conversation && open.turns.includes(turn)) settle(data.conversation, turn);
    return;
  }
  turn.failed({ status: 0, code: "broken_off" });
}

/** A new conversation has its id now; the list has another order. */
function settle(id, turn) {
  if (open.id !== id) {
    open.id = id;
    name(turn.question);
    visit(`/c/${id}`);
  }
  moreButton.hidden = false;
  conversations.selected = id;
  conversations.refresh();
}

function stop() {
  open.running?.abort.abort();
}

function name(title) {
  open.title = title;
  heading.textContent = title || t("ask.new");
  document.title = `${title || t("core.title.ask")} · Lore`;
}

/** Takes the open conversation off the page. What is being answered goes on for as long as the page is there. */
function leave() {
  const { running } = open;
  if (running && !running.abort.signal.aborted) {
    elsewhere.add(running);
    // The one that was left first makes room.
    if (elsewhere.size > ELSEWHERE) [...elsewhere][0].abort.abort();
  }
  open.running = null;
  composer.running(false);
  setEditing(null);
  source.close();
  for (const turn of open.turns) if (!elsewhere.has(running) || turn !== running.turn) turn.dispose();
  Object.assign(open, { id: null, turns: [] });
  replace(thread);
  moreButton.hidden = true;
  drawer(false);
}

/** A conversation was deleted. */
function forget(id) {
  for (const one of elsewhere) {
    if (one.conversation !== id) continue;
    elsewhere.delete(one);
    one.abort.abort();
    one.turn.dispose();
  }
  if (id !== open.id) return;
  stop();
  begin();
}

/** The box takes the focus, except where that would bring up a keyboard over the page. */
const ready = () => matchMedia("(hover: hover)").matches && composer.focus();

/** The path that is shown. */
let path = location.pathname;

function visit(next) {
  path = next;
  history.pushState(null, "", next);
}

/** An empty page. */
function begin({ push = true } = {}) {
  leave();
  name("");
  conversations.select(null);
  replace(thread, welcome((question) => ask(question)));
  if (push && path !== "/") visit("/");
  latest.hidden = true;
  ready();
}

let shows = 0;

/** A kept conversation. */
async function show(id, { push = true } = {}) {
  if (push && id === open.id) return drawer(false);
  leave();
  const mine = ++shows;
  if (push) visit(`/c/${id}`);
  open.id = id;
  const back = [...elsewhere].find((one) => one.conversation === id);
  if (back) {
    elsewhere.delete(back);
    Object.assign(open, { running: back, turns: [back.turn] });
    composer.running(true);
  }
  name(conversations.title(id) ?? "");
  conversations.select(id);
  replace(thread, skeleton(6));
  let detail;
  let before;
  try {
    // The answer that came back may be kept meanwhile: then it is among the others.
    do {
      before = back?.turn.keptIn;
      detail = await api.get(`/v1/conversations/${encodeURIComponent(id)}`);
    } while (back?.turn.keptIn !== before);
  } catch (error) {
    if (mine !== shows || open.id !== id) return undefined;
    if (open.turns.length > 0) {
      replace(thread, errorState(error, () => show(id, { push: false })), open.turns.map((turn) => turn.element));
      return undefined;
    }
    open.id = null;
    replace(thread, error.status === 404
      ? emptyState({ icon: "alert", title: t("ask.missing"), text: t("ask.missingWhy") })
      : errorState(error, () => show(id, { push: false })));
    return undefined;
  }
  if (mine !== shows || open.id !== id) return undefined;
  name(detail.title);
  moreButton.hidden = false;
  const earlier = detail.history.map((kept) => {
    const turn = new Turn(kept.question, page);
    turn.keptIn = id;
    turn.restore(kept);
    return turn;
  });
  if (back?.turn.keptIn) drop(back.turn);
  else if (back?.turn.replaces) earlier.pop()?.dispose();
  // What was asked while they came stands behind them.
  open.turns = [...earlier, ...open.turns];
  replace(thread, open.turns.map((turn) => turn.element));
  toEnd();
  ready();
  return undefined;
}

/** On narrow pages the conversations are in a drawer. */
function drawer(wanted = !frame.classList.contains("with-drawer")) {
  frame.classList.toggle("with-drawer", wanted);
  drawerButton.setAttribute("aria-expanded", String(wanted));
  if (wanted) side.querySelector("input")?.focus();
}

function route() {
  const found = /^\/c\/([^/]+)$/.exec(location.pathname);
  if (found) return show(decodeURIComponent(found[1]), { push: false });
  return begin({ push: false });
}

shortcuts({
  focus: () => composer.focus(),
  begin: () => begin(),
  escape: () => {
    if (frame.classList.contains("with-drawer")) {
      drawer(false);
      drawerButton.focus();
    } else if (open.running) stop();
    else if (editing) unedit();
    else if (source.isOpen) source.close();
  },
});

replace($("#ask"), frame);
addEventListener("popstate", () => {
  // A link to a place in the page, such as the one past the header, leads nowhere else.
  if (location.pathname === path) return;
  path = location.pathname;
  route();
});
// A question whose answer was not whole yet is lost with the page: it comes back as a draft.
addEventListener("pagehide", () => composer.keep(DRAFT, open.running && !open.running.turn.keptIn ? open.running.turn.question : ""));
conversations.refresh();
await route();
const asked = new URLSearchParams(location.search);
if (asked.get("document")) {
  // From the page of documents: this one alone is asked.
  api.get(documentPath(asked.get("document"))).then((found) => filters.only({ document: found.id, title: found.title }), () => {});
}
if (asked.get("q")) composer.fill(asked.get("q"));
else composer.recall(DRAFT);
