// The part of Markdown that models write, as DOM nodes. Text only ever enters the page through text nodes.

const INLINE = /(`+)([^`]|[^`].*?[^`])\1(?!`)|\*\*(?=\S)(.+?)\*\*|__(?=\S)(.+?)__|\*(?=[^\s*])([^*]+?)\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>()]+[^\s<>().,;:!?'"])/g;

export function element(name, className = "", ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// Browsers have a clipboard for pages from this machine or over TLS only; on a plain network a selection is copied.
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", "", text);
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function link(text, address) {
  const node = element("a", "", text);
  node.href = address;
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  return node;
}

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(end, match.index));
    const [, , code, strong, strong2, emphasis, label, address, bare] = match;
    if (code !== undefined) nodes.push(element("code", "", code));
    else if (strong ?? strong2) nodes.push(element("strong", "", ...inline(strong ?? strong2)));
    else if (emphasis) nodes.push(element("em", "", ...inline(emphasis)));
    else if (label) nodes.push(link(label, address));
    else nodes.push(link(bare, bare));
    end = match.index + match[0].length;
  }
  nodes.push(text.slice(end));
  return nodes.filter((node) => node !== "");
}

function lines(text) {
  return text.split("\n").flatMap((line, index) => (index ? [element("br"), ...inline(line)] : inline(line)));
}

// ---- blocks: the source is cut into pieces first, so that a stream redraws only the piece that grows ----

export function blocks(source) {
  const found = [];
  let current = [];
  let fence = null;
  const close = () => {
    if (current.length) found.push(current.join("\n"));
    current = [];
  };
  for (const line of source.split("\n")) {
    const mark = /^\s{0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) {
      current.push(line);
      if (mark?.startsWith(fence) && line.trim() === mark) {
        close();
        fence = null;
      }
    } else if (mark) {
      close();
      fence = mark;
      current.push(line);
    } else if (line.trim() === "") {
      close();
    } else if (/^#{1,6} /.test(line) || /^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      close();
      found.push(line);
    } else {
      if (current.length && isList(line) && !isList(current[0])) close();
      current.push(line);
    }
  }
  close();
  return found;
}

const isList = (line) => /^\s*([-*+]|\d{1,9}[.)]) +\S/.test(line);
const isTable = (rows) => rows.length > 1 && rows[0].includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(rows[1]);

export function render(block) {
  const rows = block.split("\n");
  const heading = /^(#{1,6}) +(.*?)\s*#*$/.exec(rows[0]);
  if (/^\s{0,3}(`{3,}|~{3,})/.test(rows[0])) return codeBlock(rows);
  if (heading) return element(`h${Math.min(heading[1].length, 4)}`, "", ...inline(heading[2]));
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(block)) return element("hr");
  if (rows[0].startsWith(">")) {
    return element("blockquote", "", ...lines(rows.map((row) => row.replace(/^> ?/, "")).join("\n")));
  }
  if (isList(rows[0])) return list(rows);
  if (isTable(rows)) return table(rows);
  return element("p", "", ...lines(block));
}

function codeBlock(rows) {
  const language = rows[0].trim().replace(/^[`~]+/, "").trim().split(/\s/)[0];
  const last = rows.at(-1).trim();
  const isClosed = rows.length > 1 && /^(`{3,}|~{3,})$/.test(last);
  const text = rows.slice(1, isClosed ? -1 : undefined).join("\n");
  const copy = element("button", "", "Copy");
  copy.type = "button";
  copy.addEventListener("click", async () => {
    await copyText(text);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  const head = element("header", "", element("span", "", language || "text"), copy);
  return element("div", "code", head, element("pre", "", element("code", "", text)));
}

function list(rows) {
  const root = makeList(rows[0]);
  const stack = [{ indent: indentOf(rows[0]), node: root }];
  for (const row of rows) {
    if (!isList(row)) {
      stack.at(-1).node.lastElementChild?.append(" ", ...inline(row.trim()));
      continue;
    }
    const indent = indentOf(row);
    while (stack.length > 1 && indent < stack.at(-1).indent) stack.pop();
    const parent = stack.at(-1);
    if (indent > parent.indent + 1 && parent.node.lastElementChild) {
      const nested = makeList(row);
      parent.node.lastElementChild.append(nested);
      stack.push({ indent, node: nested });
    }
    stack.at(-1).node.append(element("li", "", ...inline(row.replace(/^\s*([-*+]|\d{1,9}[.)]) +/, ""))));
  }
  return root;
}

const indentOf = (row) => row.length - row.trimStart().length;

function makeList(row) {
  const number = /^\s*(\d{1,9})[.)]/.exec(row)?.[1];
  const node = element(number ? "ol" : "ul");
  if (number && number !== "1") node.start = Number(number);
  return node;
}

function table(rows) {
  const cells = (row) => row.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const line = (row, kind) => element("tr", "", ...cells(row).map((cell) => element(kind, "", ...inline(cell))));
  const head = element("thead", "", line(rows[0], "th"));
  const body = element("tbody", "", ...rows.slice(2).map((row) => line(row, "td")));
  return element("div", "table", element("table", "", head, body));
}

// Show the source in the container, keeping every block that has not changed.
export function update(container, source) {
  const wanted = blocks(source);
  const shown = container.shownBlocks ?? [];
  let same = 0;
  while (same < wanted.length && wanted[same] === shown[same]) same += 1;
  while (container.childNodes.length > same) container.lastChild.remove();
  container.append(...wanted.slice(same).map(render));
  container.shownBlocks = wanted;
}
