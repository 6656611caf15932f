// Calls of the search page.

import { api } from "../core/api.js";

/** The weights that the server runs with, and within what a search may have others. */
export const settings = () => api.get("/v1/search/settings");

/** Searches under `weights`, with the reasons. */
export function find(state, weights, signal) {
  const body = {
    query: state.query,
    mode: state.mode,
    limit: state.limit,
    filter: filterOf(state),
    explain: true,
    weights,
  };
  // Header values are bytes; names of groups may be of any script.
  const headers = state.groups === null ? {} : { "X-Lore-Groups": latin(state.groups) };
  return api.post("/v1/search", body, { headers, signal });
}

/** UTF-8 as the bytes that fetch lets into a header. */
const latin = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** What stands between the commas, as [key, value] where it is a tag. */
const pairs = (tags) => tags.split(/[,，\n]/).filter((one) => one.trim()).map((one) => {
  const [key, ...rest] = one.split(/[=＝]/);
  const pair = [key.trim(), rest.join("=").trim()];
  return pair.every(Boolean) ? pair : [one];
});

/** Whether all that is entered as tags are some. */
export const areTags = (tags) => pairs(tags).every((pair) => pair.length === 2);

/** The filter as the API has it. */
export function filterOf({ tags, language, from, to }) {
  const filter = {};
  for (const [key, value] of pairs(tags).filter((pair) => pair.length === 2)) {
    filter.tags ??= {};
    (filter.tags[key] ??= []).push(value);
  }
  const languages = language.split(/[,，\s]+/).filter(Boolean);
  if (languages.length > 0) filter.languages = languages;
  if (from) filter.date_from = from;
  if (to) filter.date_to = to;
  return filter;
}
