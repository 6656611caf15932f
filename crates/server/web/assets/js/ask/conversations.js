// The list of conversations: search, rename, delete, export.
//
//   const list = new Conversations({onOpen, onDeleted, onRenamed})   .element
//   list.refresh()   list.select(id)

import { api } from "../core/api.js";
import { h, plainClick, replace } from "../core/dom.js";
import { debounce } from "../core/format.js";
import { ago, date, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { confirmDialog, emptyState, errorState, menu, promptDialog, report, skeleton, toast } from "../core/ui.js";

const PAGE = 40;
const TITLE_CHARS = 200;

/** The list beside the answers. */
export class Conversations {
  constructor({ onOpen, onDeleted, onRenamed }) {
    Object.assign(this, { onOpen, onDeleted, onRenamed });
    this.selected = null;
    this.query = "";
    this.next = null;
    this.working = null;
    this.known = [];
    const search = debounce((words) => {
      this.query = words.trim();
      this.refresh();
    }, 250);
    const field = this.field = h("input", { type: "search", class: "input", placeholder: t("ask.conversations.search"), "aria-label": t("ask.conversations.search"), onInput: (event) => search(event.target.value) });
    this.list = h("ul", { class: "conversation-list" });
    this.more = h("button", { type: "button", class: "button quiet small conversation-more", hidden: true, onClick: () => this.#load(this.next) }, t("ask.conversations.more"));
    this.state = h("div", { role: "status" });
    this.element = h("div", { class: "conversations-inner" },
      h("div", { class: "conversation-search" }, icon("search", 16), field),
      h("div", { class: "conversation-scroll" }, this.state, this.list, this.more));
    this.list.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-id]");
      if (!link || !plainClick(event)) return;
      event.preventDefault();
      this.onOpen(link.dataset.id);
    });
  }

  /** Reads the list anew. */
  async refresh() {
    await this.#load(null);
  }

  /** Shows which conversation is open. */
  select(id) {
    this.selected = id;
    for (const link of this.list.querySelectorAll("a[data-id]")) {
      if (link.dataset.id === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** The title of a conversation of the list, or null. */
  title(id) {
    return this.known.find((one) => one.id === id)?.title ?? null;
  }

  async #load(before) {
    this.working?.abort();
    const { signal } = (this.working = new AbortController());
    if (before === null && this.known.length === 0) replace(this.state, skeleton(4));
    let page;
    try {
      page = await api.get("/v1/conversations", { query: this.query, limit: PAGE, before }, { signal });
    } catch (error) {
      if (error.name !== "AbortError") replace(this.state, errorState(error, () => this.#load(before)));
      return;
    }
    if (before === null) this.#clear();
    this.known.push(...page.conversations);
    this.list.append(...page.conversations.map((one) => this.#item(one)));
    this.next = page.next;
    this.more.hidden = !page.next;
    replace(this.state, this.known.length > 0 ? null
      : emptyState(this.query ? { title: t("ask.conversations.noMatch") } : { title: t("ask.conversations.none"), text: t("ask.conversations.noneText") }));
  }

  #clear() {
    for (const item of this.list.children) item.detachMenu();
    this.known = [];
    replace(this.list);
  }

  #item(conversation) {
    const { id, title, updated_at: at } = conversation;
    const more = iconButton("more", t("ask.conversations.menu", { title }), { class: "small" });
    const item = h("li", { class: "conversation" },
      h("a", { href: `/c/${id}`, dataset: { id }, "aria-current": id === this.selected ? "page" : null },
        h("span", { class: "conversation-title", title }, title),
        h("time", { class: "conversation-time", datetime: at, title: date(at) }, ago(at))),
      more);
    item.detachMenu = menu(more, () => this.entries(conversation));
    return item;
  }

  /** What can be done with a conversation; also for the page's own menu. */
  entries(conversation) {
    return [
      { label: t("ask.conversations.rename"), icon: "edit", run: () => this.#rename(conversation) },
      { label: t("ask.conversations.export"), icon: "download", run: () => h("a", { href: `/v1/conversations/${conversation.id}/export`, download: "" }).click() },
      "-",
      { label: t("ask.conversations.delete"), icon: "trash", danger: true, run: () => this.#remove(conversation) },
    ];
  }

  async #rename({ id, title }) {
    const wanted = await promptDialog({ title: t("ask.conversations.rename"), label: t("ask.conversations.title"), value: title, confirm: t("core.save"), maxLength: TITLE_CHARS });
    if (wanted === null || !wanted.trim() || wanted === title) return;
    try {
      const renamed = await api.patch(`/v1/conversations/${id}`, { title: wanted.trim() });
      this.onRenamed(renamed);
      await this.refresh();
    } catch (error) {
      report(error);
    }
  }

  async #remove({ id, title }) {
    const sure = await confirmDialog({ title: t("ask.conversations.deleteTitle"), text: t("ask.conversations.deleteText", { title }), confirm: t("ask.conversations.delete"), danger: true });
    if (!sure) return;
    const at = [...this.list.querySelectorAll("a")].findIndex((link) => link.dataset.id === id);
    try {
      await api.del(`/v1/conversations/${id}`);
      toast(t("ask.conversations.deleted"), { kind: "good" });
      this.onDeleted(id);
      await this.refresh();
      // The keyboard goes on where it was.
      if (document.activeElement === document.body) ([...this.list.querySelectorAll("a")].slice(0, at + 1).at(-1) ?? this.field).focus();
    } catch (error) {
      report(error);
    }
  }
}
