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

/** The filter as the API has it. */
export function filterOf({ tags, language, from, to }) {
  const filter = {};
  const pairs = tags.split(/[,，\n]/).map((pair) => pair.split("=")).filter((pair) => pair.length === 2 && pair[0].trim());
  for (const [key, value] of pairs) {
    filter.tags ??= {};
    (filter.tags[key.trim()] ??= []).push(value.trim());
  }
  const languages = language.split(/[,，\s]+/).filter(Boolean);
  if (languages.length > 0) filter.languages = languages;
  if (from) filter.date_from = from;
  if (to) filter.date_to = to;
  return filter;
}
