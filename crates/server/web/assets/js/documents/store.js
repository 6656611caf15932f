// The list's documents, fetched page by page as they come in sight. What was asked for last is fetched first, so that a
// jump far down the list does not wait for all that was passed.

import { api } from "../core/api.js";
import { listPath } from "./query.js";

const PAGE = 100;
/** Pages that are kept; beyond that, those fetched longest ago go. */
const KEPT = 30;
/** Pages fetched at once, and pages that may wait. */
const AT_ONCE = 2;
const WAITING = 6;

/**
 * `onChange(error, fresh)` is told whenever there is something new, or that it could not be had; `fresh` where that is
 * nothing but documents which were not known before.
 */
export function documentStore(onChange) {
  let filters = null;
  let generation = 0;
  let total = null;
  let running = 0;
  let wanted = [];
  const pages = new Map();
  const asked = new Set();

  async function load(page) {
    const mine = generation;
    asked.add(page);
    running += 1;
    try {
      const found = await api.get(listPath(filters, page * PAGE, PAGE));
      if (mine !== generation) return;
      const fresh = !pages.delete(page) && total === found.total;
      pages.set(page, found.documents);
      while (pages.size > KEPT) pages.delete(pages.keys().next().value);
      total = found.total;
      onChange(null, fresh);
    } catch (error) {
      if (mine === generation) onChange(error);
    } finally {
      if (mine === generation) asked.delete(page);
      running -= 1;
      pump();
    }
  }

  function pump() {
    wanted = wanted.slice(-WAITING);
    while (running < AT_ONCE && wanted.length > 0) load(wanted.pop());
  }

  return {
    /** Documents in all that match; null while that is not known. */
    get total() {
      return total;
    },

    /** The document in a place of the list, or null while it is fetched. */
    at(index) {
      const page = Math.floor(index / PAGE);
      const found = pages.get(page);
      if (found) return found[index % PAGE] ?? null;
      if (!asked.has(page) && !wanted.includes(page)) {
        wanted.push(page);
        queueMicrotask(pump);
      }
      return null;
    },

    /** Begins anew with other filters. */
    reset(next) {
      generation += 1;
      filters = next;
      total = null;
      wanted = [];
      pages.clear();
      asked.clear();
      return load(0);
    },

    /** Fetches again what is in sight, and forgets the rest; until then the old rows stay. */
    async reload(first, last) {
      const near = new Set([0]);
      for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) near.add(page);
      for (const page of [...pages.keys()]) if (!near.has(page)) pages.delete(page);
      await Promise.all([...near].filter((page) => !asked.has(page)).map(load));
    },

    /** Puts a document as it is now in the place of what the list has of it. */
    replace(document) {
      for (const found of pages.values()) {
        const at = found.findIndex(({ id }) => id === document.id);
        if (at >= 0) found[at] = { ...found[at], ...document };
      }
      onChange(null);
    },
  };
}
