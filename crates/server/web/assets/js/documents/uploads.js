// Uploads in the background: some at once, the rest in line, then each is watched until the server has read it.
//
// An item: {id, file, name, size, sent, state, reason, document, job}; its states: waiting, sending, queued, running, done,
// failed, cancelled.

import { api } from "../core/api.js";
import { documentPath } from "../core/paths.js";

/** Files sent at once: the server holds each in memory and refuses more than some. */
const AT_ONCE = 3;
/** Tries of a file for which the server has no room, or while it is started again. */
const TRIES = 6;
const PASSING = new Set([0, 429, 503]);
const POLL_MS = 1_200;
/** Jobs asked for at once. */
const JOBS = 200;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const OPEN = new Set(["waiting", "sending", "queued", "running"]);

/** Uploads; `onChange()` runs on any news, `onArrived()` when documents changed on the server. */
export function uploadQueue({ onChange, onArrived }) {
  let items = [];
  let ids = 0;
  let sending = 0;
  let polling = false;

  /** Sends what waits, as far as there is room. */
  function pump() {
    while (sending < AT_ONCE) {
      const item = items.find(({ state }) => state === "waiting");
      if (!item) break;
      send(item);
    }
    onChange();
  }

  async function send(item) {
    item.state = "sending";
    sending += 1;
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          item.request = api.upload(item.file, item.fields, (sent, all) => {
            // What is sent is a little more than the file.
            item.sent = all > 0 ? Math.min(1, sent / all) * item.size : 0;
            onChange();
          });
          const [accepted] = (await item.request).documents;
          Object.assign(item, { state: "queued", sent: item.size, document: accepted.document, job: accepted.job });
          break;
        } catch (error) {
          if (!PASSING.has(error.status) || tries >= TRIES) throw error;
          item.sent = 0;
          await wait(500 * 2 ** tries);
          if (item.state === "cancelled") break;
        }
      }
    } catch (error) {
      if (item.state !== "cancelled") {
        Object.assign(item, { state: error.name === "AbortError" ? "cancelled" : "failed", reason: error });
      }
    } finally {
      sending -= 1;
      item.request = null;
      // The file itself is kept only for another try.
      if (item.state === "queued") item.file = null;
    }
    if (item.state === "queued") onArrived();
    pump();
    poll();
  }

  /** Watches the jobs that have not ended. */
  async function poll() {
    if (polling) return;
    polling = true;
    for (;;) {
      const open = items.filter(({ state }) => state === "queued" || state === "running").slice(0, JOBS);
      if (open.length === 0) break;
      await wait(POLL_MS);
      try {
        const { jobs } = await api.get("/v1/jobs", { ids: open.map(({ job }) => job).join(",") });
        const known = new Map(jobs.map((job) => [job.id, job]));
        for (const item of open) {
          const job = known.get(item.job);
          item.state = job?.state ?? "done";
          item.reason = job?.reason ? new Error(job.reason) : null;
        }
        onChange();
        if (open.some(({ state }) => !OPEN.has(state))) onArrived();
      } catch (error) {
        // The server may be restarting; the jobs are still there when it comes back.
        if (!PASSING.has(error.status) && error.status < 500) break;
        await wait(3 * POLL_MS);
      }
    }
    polling = false;
  }

  return {
    get items() {
      return items;
    },

    /** Bytes in all, and how many files have come where. */
    totals() {
      const sum = { open: 0, sending: 0, reading: 0, done: 0, failed: 0, bytes: 0, sent: 0 };
      for (const { state, size, sent } of items) {
        if (state === "cancelled") continue;
        sum.bytes += size;
        sum.sent += sent;
        if (OPEN.has(state)) sum.open += 1;
        if (state === "waiting" || state === "sending") sum.sending += 1;
        if (state === "queued" || state === "running") sum.reading += 1;
        if (state === "done") sum.done += 1;
        if (state === "failed") sum.failed += 1;
      }
      return sum;
    },

    /** Adds files; `refused` are shown as failed for the reason given. */
    add(files, fields, refused = [], reason = null) {
      const item = (file) => ({ id: (ids += 1), file, fields, name: file.relativeName ?? file.name, size: file.size, sent: 0, state: "waiting", reason: null, document: null, job: null, request: null });
      items.push(...files.map(item), ...refused.map((file) => ({ ...item(file), file: null, size: 0, state: "failed", reason })));
      pump();
    },

    cancel(item) {
      if (item.state !== "waiting" && item.state !== "sending") return;
      item.state = "cancelled";
      item.request?.abort();
      item.file = null;
      pump();
    },

    cancelAll() {
      for (const item of items) {
        if (item.state === "waiting" || item.state === "sending") {
          item.state = "cancelled";
          item.request?.abort();
        }
      }
      onChange();
    },

    /** Tries again what failed: sends the file again, or has the server read it again. */
    async retry(item) {
      if (item.job) {
        const job = await api.post(documentPath(item.document, "/retry"));
        Object.assign(item, { state: "queued", reason: null, job: job.id });
        onChange();
        poll();
      } else if (item.file) {
        Object.assign(item, { state: "waiting", reason: null, sent: 0 });
        pump();
      }
    },

    /** Forgets what has ended. */
    clear() {
      items = items.filter(({ state }) => OPEN.has(state));
      onChange();
    },
  };
}
