// The documents' page: the list with its filters, a document that is open, and uploads.

import { api } from "../core/api.js";
import { $, h, isAdmin, replace } from "../core/dom.js";
import { load, plural, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { originalPath } from "../core/paths.js";
import { emptyState, errorState, report, skeleton, toast } from "../core/ui.js";
import { remove, retry, retryAll } from "./actions.js";
import { editDialog } from "./details.js";
import { dropTarget } from "./drop.js";
import { ACCEPT, chosen } from "./files.js";
import { filterBar } from "./filters.js";
import { documentList } from "./list.js";
import { address, isFiltered, listPath, readAddress, reorder, unfiltered } from "./query.js";
import { documentStore } from "./store.js";
import { uploadDialog } from "./uploadDialog.js";
import { uploadPanel } from "./uploadPanel.js";
import { uploadQueue } from "./uploads.js";
import { viewer } from "./viewer.js";

/** How often it is looked whether waiting documents have been read. */
const WATCH_MS = 3_000;
/** How often the list is fetched anew while uploads come in. */
const ARRIVED_MS = 1_000;

await load("documents");
const root = $("#documents");
const frame = $("main");
let { filters, open, view, place } = readAddress();
let facets = null;

const store = documentStore((error, fresh) => {
  // A page that was passed meanwhile changes nothing in sight.
  if (!fresh || list.hasGaps()) draw(error);
});
const filtersBar = filterBar((next) => setFilters(next, true));
const list = documentList({
  store,
  href: (id) => address(filters, id),
  onOpen: (id) => openDocument(id),
  onSort: (sort) => setFilters(reorder(filters, sort)),
  actions: rowActions,
});
const pane = viewer({
  onClose: () => closeDocument(),
  onView: (next) => {
    view = next;
    history.replaceState(null, "", address(filters, open, view));
  },
  onDelete: deleteDocument,
  onEdit: edit,
  onRetry: (document) => retry(document, changed),
  onTag: (tag) => setFilters({ ...filters, tag }),
});
const queue = isAdmin ? uploadQueue({ onChange: () => panel.draw(), onArrived: () => arrived() }) : null;
let arriving = null;
const panel = queue && uploadPanel(queue, { href: (id) => address(filters, id), onOpen: (id) => openDocument(id) });
const state = h("div", { class: "doc-state" });
const sum = h("p", { class: "doc-sum dim small", role: "status" });

build();
filtersBar.set(filters);
list.setOrder(filters);
if (open) showOpen(true, place);
await Promise.all([store.reset(filters), refreshFacets()]);
setTimeout(watch, WATCH_MS);

function build() {
  replace(root,
    h("div", { class: "doc-side" },
      h("header", { class: "page-head doc-top" }, h("h1", {}, t("core.title.documents")), sum, isAdmin && uploadButtons()),
      filtersBar.element, list.element, state, panel?.element),
    pane.element);
  replace(state, skeleton(6));
  if (isAdmin) dropTarget(frame, take);
  addEventListener("popstate", () => {
    // A link to a place in the page, such as the one past the header, leads nowhere else.
    if (location.hash && address(filters, open, view) === location.pathname + location.search) return;
    const before = open;
    ({ filters, open, view, place } = readAddress());
    filtersBar.set(filters);
    list.setOrder(filters);
    store.reset(filters);
    if (open !== before || open) showOpen(false, place);
  });
  addEventListener("beforeunload", (event) => {
    if (queue && queue.totals().sending > 0) event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog, [role=menu]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      filtersBar.focus();
    } else if (event.key === "Escape" && open && !typing && !event.defaultPrevented) closeDocument();
  });
}

function uploadButtons() {
  const picker = (props) => h("input", { type: "file", class: "visually-hidden", tabindex: "-1", "aria-hidden": "true", multiple: true, ...props, onChange: (event) => {
    const files = chosen(event.target.files);
    event.target.value = "";
    take(files);
  } });
  const files = picker({ accept: ACCEPT, id: "pick-files" });
  const folder = picker({ webkitdirectory: true, id: "pick-folder" });
  return h("div", { class: "row doc-upload" },
    h("button", { type: "button", class: "button primary", onClick: () => files.click() }, icon("upload", 16), t("documents.upload")),
    h("button", { type: "button", class: "button", onClick: () => folder.click() }, icon("folder", 16), h("span", {}, t("documents.uploadFolder"))),
    files, folder);
}

/** Takes files in, once it was said for whom. */
async function take(given) {
  let found;
  try {
    found = await given;
  } catch (error) {
    // A file that was moved or may not be read.
    report(error);
    return;
  }
  if (found.files.length === 0) {
    if (found.refused.length > 0) toast(t("documents.up.noneReadable"), { kind: "bad" });
    return;
  }
  const fields = await uploadDialog(found, { groups: knownGroups() });
  // Of a folder, what cannot be read is only counted; of single files it is shown why.
  if (fields) queue.add(found.files, fields, found.refused.slice(0, 50), new Error(t("documents.up.unreadable")));
}

function rowActions(document) {
  const entries = [
    { label: t("documents.open"), icon: "document", run: () => openDocument(document.id) },
    document.version > 0 && { label: t("documents.original"), icon: "external", run: () => window.open(originalPath(document.id), "_blank", "noopener") },
  ];
  if (isAdmin) {
    if (document.state === "failed") entries.push({ label: t("core.retry"), icon: "refresh", run: () => retry(document, changed) });
    entries.push({ label: t("documents.edit"), icon: "edit", run: () => edit(document) }, "-",
      { label: t("core.delete"), icon: "trash", danger: true, run: () => deleteDocument(document) });
  }
  return entries.filter(Boolean);
}

/** Draws the list, or what stands in its place. */
function draw(error) {
  const { total } = store;
  list.draw();
  list.element.hidden = !total;
  if (total) replace(state);
  else if (error) replace(state, errorState(error, () => store.reset(filters)));
  else if (total === 0) replace(state, nothing());
  replace(sum, total === null ? "" : plural(isFiltered(filters) ? "documents.found" : "documents.count", total));
  if (isAdmin && filters.state === "failed" && total > 0) {
    sum.append(" ", h("button", { type: "button", class: "button small", onClick: tryAllAgain }, icon("refresh", 14), t("documents.retryAll")));
  }
}

function nothing() {
  if (isFiltered(filters)) {
    return emptyState({ icon: "search", title: t("documents.nothing"), text: t("documents.nothing.text"), action:
      h("button", { type: "button", class: "button", onClick: () => setFilters(unfiltered(filters)) }, t("documents.clear")) });
  }
  return emptyState({ icon: "document", title: t("documents.empty"), text: t(isAdmin ? "documents.empty.admin" : "documents.empty.reader") });
}

async function tryAllAgain() {
  try {
    const { documents, total } = await api.get(listPath(filters, 0, 200));
    await retryAll(documents, total, changed);
  } catch (error) {
    report(error);
  }
}

function setFilters(next, fromBar = false) {
  filters = next;
  if (!fromBar) filtersBar.set(filters);
  list.setOrder(filters);
  list.toTop();
  history.replaceState(null, "", address(filters, open, view));
  store.reset(filters);
}

function openDocument(id) {
  if (open === id) return pane.focus();
  view = "text";
  open = id;
  history.pushState(null, "", address(filters, open, view));
  showOpen(true);
  return undefined;
}

function closeDocument() {
  const was = open;
  open = null;
  history.pushState(null, "", address(filters));
  showOpen(false);
  $(`.doc-link[href*="${CSS.escape(was ?? "")}"]`)?.focus({ preventScroll: true });
}

function showOpen(focus, at = null) {
  root.classList.toggle("with-open", open !== null);
  list.setOpen(open);
  if (open === null) return pane.hide();
  pane.show(open, view, at);
  if (focus) pane.focus();
  return undefined;
}

async function deleteDocument(document) {
  const at = list.placeOf(document.id);
  if (await remove(document, () => changed().then(() => keepFocus(at)))) {
    if (open === document.id) closeDocument();
  }
}

/** What had the focus is gone: the keyboard goes on in the row that took its place, or in the search field. */
function keepFocus(index) {
  if (document.activeElement !== document.body) return;
  if (store.total > 0) list.focusRow(index);
  else filtersBar.focus();
}

function edit(document) {
  editDialog(document, knownGroups(), (saved) => {
    store.replace(saved);
    refreshFacets().then((news) => news && reload());
    if (open === saved.id) pane.refresh(view);
  });
}

/** Uploads came in or were read: many at once are one look at the list. */
function arrived() {
  arriving ??= setTimeout(() => {
    arriving = null;
    changed();
  }, ARRIVED_MS);
}

/** Something changed on the server: what is in sight is fetched anew. */
async function changed() {
  await Promise.all([reload(), refreshFacets()]);
}

async function reload() {
  await store.reload(...list.sight());
  if (open) pane.refresh(view);
}

/** Asks for the counts of the filters, and tells whether they are others now. */
async function refreshFacets() {
  // The list says what is wrong; filters without counts still filter.
  const now = await api.get("/v1/documents/facets").catch(() => facets);
  if (JSON.stringify(now) === JSON.stringify(facets)) return false;
  facets = now;
  filtersBar.setFacets(facets);
  return true;
}

/** Looks after documents that wait to be read, as long as the page is looked at. */
async function watch() {
  if (!document.hidden && facets?.states.pending > 0 && (await refreshFacets())) await reload();
  setTimeout(watch, WATCH_MS);
}

function knownGroups() {
  return Object.keys(facets?.groups ?? {});
}
