// Server-sent events over fetch, which can send a body and be aborted.
//
//   for await (const {event, data} of stream("/v1/ask", {question, stream: true}, {signal})) …
//
// `data` is parsed JSON (text where it is none). What is refused before the stream begins is thrown as ApiError, so are
// streams that break off; aborting ends in the AbortError of fetch. Leaving the loop cancels the request.

import { ApiError, api, brokenOff } from "./api.js";

/** Longest event that is taken, in characters: a stream without line ends must not fill the memory. */
const EVENT_CHARS = 8 << 20;

/** The events of one request, as they come. */
export async function* stream(path, body, { signal } = {}) {
  const response = await api.raw("POST", path, body, { headers: { Accept: "text/event-stream" }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parse = parser();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw brokenOff(error);
      });
      if (done) return;
      yield* parse(value);
    }
  } finally {
    // Also where the caller left the loop: the server then stops its work.
    reader.cancel().catch(() => {});
  }
}

/** A function that takes pieces of a stream and gives the events that have become whole. */
function parser() {
  let rest = "";
  let event = "";
  let data = [];
  let size = 0;
  return (piece) => {
    const events = [];
    rest += piece;
    size += piece.length;
    if (size > EVENT_CHARS) throw new ApiError(0, "too_large", "an event of the server is too large");
    // A carriage return at the end may be half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) events.push({ event: event || "message", data: value(data.join("\n")) });
        event = "";
        data = [];
        size = rest.length;
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") event = text;
      else if (name === "data") data.push(text);
      else size -= line.length; // comments keep the connection alive and count for nothing
    }
    return events;
  };
}

function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
