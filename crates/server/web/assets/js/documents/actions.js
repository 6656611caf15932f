// What can be done with a document: delete it with a time to undo that, bring it back, try again what failed.

import { api } from "../core/api.js";
import { number, plural, t } from "../core/i18n.js";
import { documentPath } from "../core/paths.js";
import { confirmDialog, report, toast } from "../core/ui.js";

/** Documents tried again at once. */
const AT_ONCE = 4;
/** How often it is looked whether a file that is tried again was read, and how many times. */
const LOOK_MS = 1_000;
const LOOKS = 60;

/**
 * Deletes a document. It stops answering at once, and can be brought back for as long as the message stands. `onChange()`
 * runs once it is gone, and once it is back.
 */
export async function remove(document, onChange) {
  const name = document.title;
  try {
    const { restorable_until: until } = await api.del(documentPath(document.id, "?undo=true"));
    const undo = async () => {
      try {
        await api.post(documentPath(document.id, "/restore"));
        toast(t("documents.restored", { name }), { kind: "good" });
        onChange();
      } catch (error) {
        report(error);
      }
    };
    // The server's clock and this one may differ; the time that is left is what both agree on within a moment.
    const ms = Math.max(3_000, Date.parse(until) - Date.now() - 500);
    toast(t("documents.deleted", { name }), { kind: "info", ms: Math.min(ms, 600_000), action: { label: t("core.undo"), run: undo } });
    onChange();
    return true;
  } catch (error) {
    if (error.code === "no_undo") return removeForGood(document, onChange);
    report(error);
    return false;
  }
}

/** Where the server keeps nothing of deleted documents, that is asked before. */
async function removeForGood(document, onChange) {
  const sure = await confirmDialog({
    title: t("documents.deleteForGood", { name: document.title }),
    text: t("documents.deleteForGood.text"),
    confirm: t("core.delete"),
    danger: true,
  });
  if (!sure) return false;
  try {
    await api.del(documentPath(document.id));
    toast(t("documents.deleted", { name: document.title }));
    onChange();
    return true;
  } catch (error) {
    report(error);
    return false;
  }
}

/** Waits until a file was read, for a while, and tells whether it could not be. */
async function failsAgain(id) {
  for (let n = 0; n < LOOKS; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const found = await api.get(documentPath(id), null, { quiet: true }).catch(() => null);
    // Deleted meanwhile, or not to be had: then there is nothing to tell.
    if (found?.state !== "pending") return found?.state === "failed";
  }
  return false;
}

/** Waits until no file waits to be read, for a while, and tells how many could not be. */
async function stillFailed() {
  for (let n = 0; n < LOOKS; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const facets = await api.get("/v1/documents/facets", null, { quiet: true }).catch(() => null);
    if (!(facets?.states.pending > 0)) return facets?.states.failed ?? 0;
  }
  return 0;
}

/** Has the server read a file once more. */
export async function retry(document, onChange) {
  try {
    await api.post(documentPath(document.id, "/retry"));
    toast(t("documents.retrying", { name: document.title }));
    onChange();
    // A file that fails once more looks as it did before.
    if (await failsAgain(document.id)) {
      toast(t("documents.failedAgain", { name: document.title }), { kind: "bad" });
      onChange();
    }
  } catch (error) {
    report(error);
  }
}

/** Has the server read files once more that failed; `total` is how many there are with those that come another time. */
export async function retryAll(documents, total, onChange) {
  let failed = null;
  const rest = [...documents];
  const some = async () => {
    for (let next = rest.pop(); next; next = rest.pop()) {
      await api.post(documentPath(next.id, "/retry")).catch((error) => (failed = error));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
  if (failed) report(failed);
  else toast(total > documents.length ? t("documents.retryingSome", { n: number(documents.length), all: number(total) }) : t("documents.retryingAll"));
  onChange();
  const left = await stillFailed();
  if (left > 0) toast(plural("documents.failedStill", left), { kind: "bad" });
}
