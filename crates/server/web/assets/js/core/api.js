// Calls of this server's API.
//
//   api.get(path, params?, options?)     params: null, undefined and "" are left out, arrays are repeated
//   api.post(path, body?, options?)      api.patch(…)   api.del(path, options?)
//   api.upload(file, fields, onProgress) one document by XMLHttpRequest: a promise with .abort();
//                                        fields: {tag: ["a=b"], acl: "x,y"}; onProgress(sentBytes, allBytes);
//                                        file.relativeName, if set, is its name
//   api.raw(method, path, body?, options?)   the Response itself, refused ones thrown
//   options: {signal, headers, quiet}; quiet: 401 is thrown as well, and leads nowhere: for what runs by itself
//
// Answers are parsed JSON (null for 204). What is refused is thrown as ApiError {status, code, message, requestId}; a
// server that cannot be reached has status 0 and code "offline"; an aborted call throws the AbortError of fetch.
// 401 leads to the sign-in page and back.

/** What the server refused, or that it was not reached (status 0). */
export class ApiError extends Error {
  constructor(status, code, message, requestId = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

/** The sign-in page, which leads back here. */
export const signInPath = () => `/signin?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;

function signIn() {
  if (location.pathname !== "/signin") location.assign(signInPath());
}

/** The ApiError that a refused response stands for. */
async function refusal(response, quiet) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // A proxy's own page is no JSON; the status says what there is to say.
  }
  return failure(response.status, error, response.headers.get("x-request-id"), quiet);
}

function failure(status, error, requestId, quiet = false) {
  if (status === 401 && !quiet) signIn();
  return new ApiError(status, error?.code ?? "http", error?.message ?? `HTTP ${status}`, requestId);
}

const offline = () => new ApiError(0, "offline", "the server cannot be reached; is it running?");

/** What reading an answer threw, as it is to be thrown on. */
export const brokenOff = (error) =>
  error.name === "AbortError" ? error : new ApiError(0, "broken_off", "the connection to the server broke off");

async function raw(method, path, body, { headers, signal, quiet = false } = {}) {
  const sent = { "X-Lore-Web": "1", ...(body !== undefined && { "Content-Type": "application/json" }), ...headers };
  let response;
  try {
    response = await fetch(path, { method, body: JSON.stringify(body), headers: sent, signal, credentials: "same-origin" });
  } catch (error) {
    throw error.name === "AbortError" ? error : offline();
  }
  if (!response.ok) throw await refusal(response, quiet);
  return response;
}

async function json(method, path, body, { headers, ...options } = {}) {
  const response = await raw(method, path, body, { ...options, headers: { Accept: "application/json", ...headers } });
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    throw brokenOff(error);
  }
}

/** Names and values of what is sent: null, undefined and "" are left out, arrays are repeated. */
function* pairs(params) {
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") yield [name, one];
  }
}

/** The path with its query string. */
function withParams(path, params) {
  const text = new URLSearchParams([...pairs(params)]).toString();
  return text ? `${path}?${text}` : path;
}

function upload(file, fields, onProgress) {
  const form = new FormData();
  for (const [name, value] of pairs(fields)) form.append(name, value);
  form.append("file", file, file.relativeName ?? file.name);
  const request = new XMLHttpRequest();
  const promise = new Promise((resolve, reject) => {
    request.open("POST", "/v1/documents");
    request.responseType = "json";
    request.setRequestHeader("X-Lore-Web", "1");
    request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(request.response);
      else reject(failure(request.status, request.response?.error, request.getResponseHeader("x-request-id")));
    };
    request.onerror = () => reject(offline());
    request.onabort = () => reject(new DOMException("the upload was stopped", "AbortError"));
    request.send(form);
  });
  promise.abort = () => request.abort();
  return promise;
}

/** The calls; see the head of this file. */
export const api = {
  raw,
  upload,
  get: (path, params, options) => json("GET", withParams(path, params), undefined, options),
  post: (path, body, options) => json("POST", path, body, options),
  patch: (path, body, options) => json("PATCH", path, body, options),
  del: (path, options) => json("DELETE", path, undefined, options),
};
