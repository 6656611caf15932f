// The frame of every page: language, theme, the state of the model, signing out. The layout loads it.
//
//   refreshMe() -> asks for the state of model and session and draws the state line

import { ApiError, api, signInPath } from "./api.js";
import { $, h, replace } from "./dom.js";
import { cookie, setCookie } from "./format.js";
import { load, modelName, plural, t } from "./i18n.js";
import { report } from "./ui/toast.js";

const root = document.documentElement;
const THEMES = ["auto", "light", "dark"];
/** How often the state line is brought up to date while the page is looked at. */
const EVERY_MS = 15_000;

/** Asks for the state and draws the state line. It runs by itself: it must not lead away from what somebody is writing. */
export async function refreshMe() {
  try {
    draw(await api.get("/web/me", null, { quiet: true }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    draw(null, error.status === 401);
  }
}

function draw(state, signedOut = false) {
  const line = $("#state-line");
  if (!line) return;
  const dot = line.querySelector(".state-dot");
  const words = line.querySelector(".state-words");
  // Where sentences are quoted without a model, that is how it was set up: neither good nor bad.
  const quotes = state?.model.state === "ready" && !state.model.release && state.model.name === "extractive";
  const kind = state === null ? "bad" : quotes ? "" : { ready: "good", starting: "warn", troubled: "warn" }[state.model.state] ?? "bad";
  dot.className = `state-dot ${kind}`;
  if (state === null) {
    replace(words, signedOut ? h("a", { href: signInPath() }, t("core.state.signedOut")) : t("core.state.offline"));
    line.removeAttribute("title");
    return;
  }
  const parts = [state.model.state === "ready" ? (state.model.release ?? modelName(state.model.name)) : t(`core.state.${state.model.state}`)];
  const waiting = state.queue.questions + state.queue.waiting;
  if (waiting > 0) parts.push(plural("core.state.queue", waiting));
  replace(words, parts.join(" · "));
  const { name, release, notes } = state.model;
  line.title = [release, modelName(name), ...notes].filter(Boolean).join("\n");
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
    try {
      await api.del("/session");
      location.assign("/signin");
    } catch (error) {
      report(error);
    }
  });
}

await load();
theme();
language();
signOut();
if ($("#state-line")) {
  await refreshMe();
  setInterval(() => document.hidden || refreshMe(), EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || refreshMe());
}
