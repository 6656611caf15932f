// The frame of every page: language, theme, the state of the model, signing out. The layout loads it.
//
//   me() -> Promise<{signed_in, admin, groups, key_name, version, keys_required, model, queue}>, asked for once
//   refreshMe() -> asks again and draws the state line

import { ApiError, api } from "./api.js";
import { $, replace } from "./dom.js";
import { cookie, setCookie } from "./format.js";
import { load, plural, t } from "./i18n.js";

const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];
/** How often the state line is brought up to date while the page is looked at. */
const EVERY_MS = 15_000;

let asked = null;

/** Who is signed in and what state the model is in. */
export const me = () => (asked ??= api.get("/web/me"));

/** Asks anew and draws the state line. */
export async function refreshMe() {
  asked = api.get("/web/me");
  try {
    draw(await asked);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    draw(null);
  }
}

function draw(state) {
  const line = $("#state-line");
  if (!line) return;
  const dot = line.querySelector(".state-dot");
  const words = line.querySelector(".state-words");
  const kind = state === null ? "bad" : { ready: "good", starting: "warn", troubled: "warn" }[state.model.state] ?? "bad";
  dot.className = `state-dot ${kind}`;
  if (state === null) {
    replace(words, t("core.state.offline"));
    return;
  }
  const parts = [state.model.state === "ready" ? (state.model.release ?? state.model.name) : t(`core.state.${state.model.state}`)];
  const waiting = state.queue.questions + state.queue.waiting;
  if (waiting > 0) parts.push(plural("core.state.queue", waiting));
  replace(words, parts.join(" · "));
  line.title = [state.model.name, state.model.release, ...(state.model.notes ?? [])].filter(Boolean).join("\n");
}

function theme() {
  const button = $("#theme");
  const now = () => (THEMES.includes(cookie("lore_theme")) ? cookie("lore_theme") : "auto");
  const show = () => {
    root.dataset.theme = now();
    const words = t("core.theme", { name: t(`core.theme.${now()}`) });
    button.setAttribute("aria-label", words);
    button.title = words;
  };
  button?.addEventListener("click", () => {
    setCookie("lore_theme", THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length]);
    show();
  });
  if (button) show();
}

function language() {
  const button = $("#language");
  button?.addEventListener("click", () => {
    setCookie("lore_lang", button.dataset.to);
    location.reload();
  });
}

function signOut() {
  $("#sign-out")?.addEventListener("click", async () => {
    await api.del("/session").catch(() => {});
    location.assign("/signin");
  });
}

await load();
theme();
language();
signOut();
if ($("#state-line")) {
  await me().then(draw, () => draw(null));
  setInterval(() => document.hidden || refreshMe(), EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || refreshMe());
}
