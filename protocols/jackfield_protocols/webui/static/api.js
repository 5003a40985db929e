// The server's side of the page: plain calls, and a stream of the frames that /api/chat sends.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem("jackfield-key") ?? "",
  set: (value) => sessionStorage.setItem("jackfield-key", value),
};

let askForKey = async () => false;

export function onKeyNeeded(ask) {
  askForKey = ask;
}

async function send(method, path, { body, form, signal, isQuiet = false } = {}) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  const payload = form ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await fetch(path, { method, headers, body: payload, signal });
  if (response.status === 401 && !isQuiet && (await askForKey())) return send(method, path, { body, form, signal });
  if (!response.ok) throw new ApiError(response.status, await reason(response));
  return response;
}

async function reason(response) {
  const text = await response.text();
  try {
    const error = JSON.parse(text).error;
    return typeof error === "string" ? error : (error?.message ?? text);
  } catch {
    return text || `the server answered ${response.status}`;
  }
}

export async function call(method, path, options) {
  return (await send(method, path, options)).json();
}

export async function* frames(path, body, signal) {
  const response = await send("POST", path, { body, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (pending + value).split("\n\n");
    pending = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
    }
  }
}
