// Texts and values that have nothing to do with the language.
//
//   shorten(text, chars)        at most so many code points, an ellipsis where it was cut
//   charLength(text)            in code points, as the API counts
//   debounce(fn, ms)            runs once calls have stopped for a while; .cancel(), .flush()
//   throttleFrame(fn)           runs at most once a frame, with the last arguments
//   copyText(text)              to the clipboard; false where the browser refuses
//   download(name, text, type)  gives a file to save
//   cookie(name)  setCookie(name, value)   for the language and the theme
//   kept(name, storage?)  keep(name, value, storage?)   in this browser, or with "sessionStorage" in this tab
//   pages({first, last})        "3" or "3–5", or null

/** At most `chars` code points of a text, an ellipsis where it was cut. */
export function shorten(text, chars) {
  const all = Array.from(text);
  return all.length <= chars ? text : `${all.slice(0, chars - 1).join("").trimEnd()}…`;
}

/** The length of a text in code points. */
export function charLength(text) {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

/** A function that runs `ms` after the last call of it. */
export function debounce(fn, ms) {
  let timer = null;
  let last = [];
  const run = () => {
    timer = null;
    fn(...last);
  };
  const later = (...args) => {
    last = args;
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
  later.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  later.flush = () => {
    if (timer === null) return;
    clearTimeout(timer);
    run();
  };
  return later;
}

/** A function that runs once before the next paint, with the arguments of the last call. */
export function throttleFrame(fn) {
  let waiting = false;
  let last = [];
  return (...args) => {
    last = args;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      fn(...last);
    });
  };
}

/** Copies a text; false where the browser does not let it. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Outside TLS and localhost there is no clipboard; a selection can still be copied.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Gives the person a file to save. */
export function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The value of a cookie, or null. */
export function cookie(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : null;
}

/** Keeps a cookie for a year. */
export function setCookie(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

/** What was kept under a name, or null. */
export function kept(name, storage = "localStorage") {
  try {
    return JSON.parse(window[storage].getItem(name));
  } catch {
    return null;
  }
}

/** Keeps a value under a name; null is kept no longer. */
export function keep(name, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(name);
    else window[storage].setItem(name, JSON.stringify(value));
  } catch {
    // Storage may be closed to the page; then nothing is kept, and all else works.
  }
}

/** Pages as a person writes them, or null where there are none. */
export function pages(range) {
  if (!range) return null;
  return range.first === range.last ? String(range.first) : `${range.first}–${range.last}`;
}
