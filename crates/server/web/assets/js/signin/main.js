// Signing in: the key becomes a session, and the page that was wanted comes back.

import { api } from "../core/api.js";
import { $, replace } from "../core/dom.js";
import { load, t } from "../core/i18n.js";
import { busy, errorWords } from "../core/ui.js";

/** The address to go to: a page of this server and nothing else. */
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  try {
    const url = new URL(wanted, location.origin);
    const own = url.origin === location.origin && url.pathname !== "/signin";
    // The whole address: a path that begins with two slashes would name another host.
    return own ? url.href : "/";
  } catch {
    return "/";
  }
}

await load();
const form = $("#signin");
const input = $("#key");
const error = $("#key-error");

function refuse(words) {
  replace(error, words);
  error.hidden = false;
  input.setAttribute("aria-invalid", "true");
  input.focus();
  input.select();
}

input.addEventListener("input", () => {
  error.hidden = true;
  input.removeAttribute("aria-invalid");
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = input.value.trim();
  if (key === "") return refuse(t("signin.empty"));
  try {
    await busy(form.querySelector("button"), api.post("/session", { key }));
    location.replace(next());
  } catch (failure) {
    refuse(failure.status === 401 ? t("signin.wrong") : errorWords(failure));
  }
  return undefined;
});
