// What the page shows, as its address says it: filters, order, and the document that is open.

import { documentPage } from "../core/paths.js";

/** Filters that are passed on to the API as they are. */
const PLAIN = ["q", "state", "format", "tag", "group", "sort"];
const DESCENDING_FIRST = new Set(["updated", "size", "chunks", "pages"]);

/** What an address says. */
export function readAddress(url = new URL(location.href)) {
  const given = url.searchParams;
  const filters = Object.fromEntries(PLAIN.map((name) => [name, given.get(name) ?? ""]));
  filters.everyone = given.get("everyone") === "1";
  filters.descending = given.get("descending") === "1";
  filters.sort ||= "name";
  const open = url.pathname.match(/^\/documents\/([^/]+)$/)?.[1] ?? null;
  return { filters, open: open && decodeURIComponent(open), view: given.get("view") ?? "text", place: readPlace(given) };
}

/** The place in a version of the document that a link leads to, in code points; null for none. */
function readPlace(given) {
  const [version, start, end] = ["version", "start", "end"].map((name) => Number.parseInt(given.get(name) ?? "", 10));
  return start >= 0 && end > start ? { version, start, end } : null;
}

/** The address of filters and of a document that is open, or null. */
export function address(filters, open = null, view = "text") {
  const query = new URLSearchParams();
  for (const name of PLAIN) {
    if (filters[name] && !(name === "sort" && filters.sort === "name")) query.set(name, filters[name]);
  }
  if (filters.everyone) query.set("everyone", "1");
  if (filters.descending) query.set("descending", "1");
  if (open && view !== "text") query.set("view", view);
  const text = query.toString();
  return (open ? documentPage(open) : "/documents") + (text && `?${text}`);
}

/** The API's path of some documents of a list. */
export function listPath(filters, offset, limit) {
  const query = new URLSearchParams();
  for (const name of PLAIN) if (filters[name]) query.set(name, filters[name]);
  // An empty group is the API's word for documents that everyone may read.
  if (filters.everyone) query.set("group", "");
  if (filters.descending) query.set("descending", "true");
  query.set("offset", offset);
  query.set("limit", limit);
  return `/v1/documents?${query}`;
}

/** Whether anything is filtered out. */
export const isFiltered = (filters) =>
  Boolean(filters.q || filters.state || filters.format || filters.tag || filters.group || filters.everyone);

/** Filters that let everything through, in the same order. */
export const unfiltered = ({ sort, descending }) =>
  ({ q: "", state: "", format: "", tag: "", group: "", everyone: false, sort, descending });

/** The order once somebody asked for `sort`: the same again is the other way round. */
export function reorder(filters, sort) {
  const descending = filters.sort === sort ? !filters.descending : DESCENDING_FIRST.has(sort);
  return { ...filters, sort, descending };
}
