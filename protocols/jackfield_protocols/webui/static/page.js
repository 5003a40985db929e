// The page: a conversation in memory, drawn as it streams in.

import { ApiError, call, frames, key, onKeyNeeded } from "./api.js";
import { copyText, element, update } from "./markdown.js";

const $ = (id) => document.getElementById(id);
const log = $("log");
const input = $("input");
const composer = $("composer");
const welcome = $("welcome");

let turns = [];            // what is sent: {role, content, imagePaths?, textFilePaths?}
let sessionId = null;
let startsAfresh = false;  // the server's cached prefix no longer matches what we show
let running = null;        // the AbortController of the answer being written
let attachments = [];      // {name, handle?, media?, text?, url?, chip}
let isFollowing = true;

// ---- the server ----

async function refreshModel(isQuiet) {
  try {
    const models = await call("GET", "/api/models", { isQuiet });
    $("model-name").textContent = models.loaded ?? "no model loaded";
    $("model").title = models.loaded ? `${models.architecture} · ${models.loadedBackend} · context ${models.contextLength}` : "";
    $("lamp").className = models.loaded ? "lamp on" : "lamp off";
  } catch (error) {
    $("model-name").textContent = error instanceof ApiError ? error.message : "server not reachable";
    $("lamp").className = "lamp off";
  }
}

async function ensureSession() {
  sessionId ??= (await call("POST", "/api/sessions")).sessionId;
}

function chatBody() {
  const system = $("system").value.trim();
  return {
    messages: system ? [{ role: "system", content: system }, ...turns] : turns,
    sessionId,
    newChat: startsAfresh,
    think: $("think").checked,
    maxTokens: Number($("max-tokens").value) || 2048,
    temperature: Number($("temperature").value) || 0,
  };
}

async function* answer(signal) {
  await ensureSession();
  try {
    yield* frames("/api/chat/webui", chatBody(), signal);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    sessionId = null;  // the server was restarted, or the session expired
    startsAfresh = true;
    await ensureSession();
    yield* frames("/api/chat/webui", chatBody(), signal);
  }
}

// ---- drawing ----

class AnswerView {
  constructor(conversation) {
    this.firstTurn = conversation.length;
    this.question = conversation.at(-1);
    this.text = "";
    this.settled = "";
    this.thoughts = "";
    this.waiting = element("div", "waiting", element("i"), element("span", "", "Reading"));
    this.prose = element("div", "prose");
    this.node = element("article", "turn assistant", this.waiting, this.prose);
    this.isDrawn = true;
    log.append(this.node);
    follow();
  }

  take(frame) {
    if (frame.queue_position !== undefined) this.wait(`Place ${frame.queue_position} of ${frame.queue_pending} in the queue`);
    if (frame.thinking) this.thoughts += frame.thinking;
    if (frame.token) this.text += frame.token;
    if (frame.replace !== undefined) this.replace(frame);
    for (const one of frame.tool_calls ?? []) this.node.append(element("div", "tool", `${one.name}(${JSON.stringify(one.arguments, null, 2)})`));
    if (frame.done) this.finish(frame);
    this.redraw();
  }

  replace(frame) {  // a diffusion model shows its whole answer after every pass, and again when a block is done
    this.text = frame.replace;
    this.isDraft = frame.preview;
    if (!frame.preview) this.settled = frame.replace;
    this.wait(`Refining: pass ${frame.diffusionStep} of at most ${frame.diffusionTotal}`);
  }

  settle() {  // a block that was not finished is no part of the answer
    if (this.isDraft) this.text = this.settled;
    this.isDraft = false;
  }

  wait(text) {
    this.waiting.lastChild.textContent = text;
  }

  redraw() {
    if (!this.isDrawn) return;
    this.isDrawn = false;
    requestAnimationFrame(() => {
      this.isDrawn = true;
      this.draw();
      follow();
    });
  }

  draw() {
    if (this.thoughts && !this.thinking) {
      this.thinking = element("details", "thinking", element("summary", "", "Thinking…"), element("div"));
      this.thinking.open = true;
      this.node.insertBefore(this.thinking, this.prose);
    }
    if (this.thinking) this.thinking.lastChild.textContent = this.thoughts.trim();
    if (this.thinking && this.text.trim() && !this.hasFolded) {
      this.hasFolded = true;
      this.thinking.open = false;
      this.thinking.firstChild.textContent = "Thoughts";
    }
    this.waiting.hidden = this.isOver || (!this.isDraft && Boolean(this.text || this.thoughts));
    this.prose.classList.toggle("draft", Boolean(this.isDraft));
    update(this.prose, this.text);
  }

  finish(frame) {
    this.isOver = true;
    this.settle();
    if (frame.error) this.trouble(frame.error);
    const facts = [
      `${frame.tokenCount} tokens`,
      `${frame.tokPerSec.toFixed(1)} tok/s`,
      `${frame.elapsed.toFixed(1)} s`,
    ];
    if (frame.kvReusedTokens) facts.push(`${Math.round(frame.kvReusePercent)} % of the prompt from cache`);
    if (frame.note) facts.push(frame.note);
    if (frame.finishReason === "length") facts.push("stopped at the token limit");
    this.foot(facts);
  }

  trouble(text) {
    this.isOver = true;
    this.settle();
    this.node.append(element("div", "trouble", text));
    this.redraw();
  }

  foot(facts) {
    const copy = button("Copy", () => copyText(this.text));
    this.node.append(element("div", "foot", copy, button("Try again", () => retry(this)), ...facts.map((fact) => element("span", "", fact))));
  }
}

function button(label, act) {
  const node = element("button", "", label);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

function drawUser(text, files) {
  const node = element("article", "turn user");
  for (const file of files) {
    if (file.url) {
      const picture = element("img");
      picture.src = file.url;
      picture.alt = file.name;
      node.append(picture);
    } else {
      node.append(element("span", "file", file.name));
    }
  }
  if (text) node.append(element("div", "said", text));
  log.append(node);
}

function follow() {
  if (isFollowing) log.scrollTop = log.scrollHeight;
}

// ---- talking ----

async function ask(text) {
  const files = attachments.filter((file) => file.handle);
  const parts = files.filter((file) => file.text !== undefined).map((file) => `File ${file.name}:\n${file.text}`);
  const turn = { role: "user", content: [text, ...parts].filter(Boolean).join("\n\n") };
  const images = files.filter((file) => file.media === "image").map((file) => file.handle);
  if (images.length) turn.imagePaths = images;
  turns.push(turn);
  welcome.hidden = true;
  isFollowing = true;
  drawUser(text, files);
  attachments = [];
  $("attachments").replaceChildren();
  await respond();
}

async function respond() {
  const conversation = turns;  // a new chat may begin while this answer is being written
  const view = new AnswerView(conversation);
  setRunning(new AbortController());
  try {
    for await (const frame of answer(running.signal)) view.take(frame);
    if (!view.isOver) view.trouble("The connection ended before the answer did.");
  } catch (error) {
    if (error.name === "AbortError") stopped(view);
    else view.trouble(error.message);
    if (!view.node.querySelector(".foot")) view.foot([]);
  } finally {
    if (view.text) conversation.push({ role: "assistant", content: view.text });
    else conversation.length = view.firstTurn - 1;  // what was refused once would be refused with every later question
    if (conversation === turns) startsAfresh = !view.text;
    setRunning(null);
    refreshModel(true);
  }
}

function stopped(view) {
  view.isOver = true;
  view.settle();
  view.foot(["stopped"]);
  view.redraw();
}

async function retry(view) {
  if (running) return;
  while (log.lastElementChild !== view.node) log.lastElementChild.remove();
  view.node.remove();
  turns.length = view.firstTurn - 1;
  turns.push(view.question);
  startsAfresh = true;
  await respond();
}

function setRunning(controller) {
  running = controller;
  composer.classList.toggle("busy", Boolean(controller));
  $("send").title = controller ? "Stop" : "Send";
  $("send").setAttribute("aria-label", $("send").title);
  updateSend();
}

async function newChat() {
  running?.abort();
  const old = sessionId;
  sessionId = null;
  turns = [];
  [...log.querySelectorAll(".turn")].forEach((node) => node.remove());
  welcome.hidden = false;
  input.focus();
  if (old) await call("DELETE", `/api/sessions/${old}`).catch(() => undefined);
}

// ---- the composer ----

function updateSend() {
  const isUploading = attachments.some((file) => !file.handle && !file.failed);
  const isEmpty = !input.value.trim() && !attachments.some((file) => file.handle);
  $("send").disabled = !running && (isEmpty || isUploading);
}

function fit() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
  updateSend();
}

async function attach(file) {
  const entry = { name: file.name, url: file.type.startsWith("image/") ? URL.createObjectURL(file) : undefined };
  const remove = button("×", () => {
    attachments = attachments.filter((other) => other !== entry);
    entry.chip.remove();
    updateSend();
  });
  remove.setAttribute("aria-label", `Remove ${file.name}`);
  entry.chip = element("span", "chip", element("span", "", file.name), remove);
  if (entry.url) {
    const picture = element("img");
    picture.src = entry.url;
    picture.alt = "";
    entry.chip.prepend(picture);
  }
  attachments.push(entry);
  $("attachments").append(entry.chip);
  updateSend();
  await upload(entry, file);
  updateSend();
}

async function upload(entry, file) {
  try {
    const form = new FormData();
    form.append("file", file);
    const reply = await call("POST", "/api/upload", { form });
    if (!["image", "text"].includes(reply.mediaType)) throw new Error("only images and text files are read");
    Object.assign(entry, { handle: reply.path, media: reply.mediaType, text: reply.textContent });
    if (reply.truncated) entry.chip.firstChild.textContent = `${file.name} (shortened)`;
  } catch (error) {
    entry.failed = true;
    entry.chip.classList.add("failed");
    entry.chip.title = error.message;
    entry.chip.insertBefore(element("span", "", error.message), entry.chip.lastChild);
  }
}

function submit() {
  const text = input.value.trim();
  if (running || $("send").disabled) return;
  input.value = "";
  fit();
  ask(text);
}

// ---- wiring ----

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else submit();
});
input.addEventListener("input", fit);
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
input.addEventListener("paste", (event) => [...event.clipboardData.files].forEach(attach));
composer.addEventListener("dragover", (event) => {
  event.preventDefault();
  composer.classList.add("dropping");
});
composer.addEventListener("dragleave", () => composer.classList.remove("dropping"));
composer.addEventListener("drop", (event) => {
  event.preventDefault();
  composer.classList.remove("dropping");
  [...event.dataTransfer.files].forEach(attach);
});
$("attach-button").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  [...$("file").files].forEach(attach);
  $("file").value = "";
});
log.addEventListener("scroll", () => {
  isFollowing = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
});
$("new-button").addEventListener("click", newChat);
$("settings-button").addEventListener("click", () => {
  $("settings").hidden = !$("settings").hidden;
  $("settings-button").setAttribute("aria-expanded", String(!$("settings").hidden));
});
$("theme-button").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
  setTheme(isDark ? "light" : "dark");
});
document.querySelectorAll(".ideas button").forEach((idea) => idea.addEventListener("click", () => ask(idea.textContent)));

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("jackfield-theme", theme);
}

let keyAnswer = null;
onKeyNeeded(() => (keyAnswer ??= askForKey().finally(() => (keyAnswer = null))));

function askForKey() {
  const dialog = $("key-dialog");
  $("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const close = () => {
      key.set($("key").value.trim());
      resolve(Boolean(key.get()));
    };
    dialog.addEventListener("close", close, { once: true });
  });
}

if (localStorage.getItem("jackfield-theme")) setTheme(localStorage.getItem("jackfield-theme"));
setRunning(null);
refreshModel(false);
setInterval(() => refreshModel(true), 30_000);
