const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Navigation: a link or the address opens what encloses its target.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  const here = [target.id, target.closest(".section")?.id];
  all("nav a").forEach(link => {
    const current = here.includes(decodeURIComponent(link.hash.slice(1)));
    current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    if (current) link.scrollIntoView({ block: "nearest" });
  });
  target.scrollIntoView();
};
const button = document.querySelector("nav button");
const expand = open => button.setAttribute("aria-expanded", open);
button.addEventListener("click", () => expand(button.getAttribute("aria-expanded") === "false"));
document.addEventListener("click", event => {
  const link = event.target.closest('a[href^="#"]');
  if (!link) return;
  expand(false);
  if (link.hash === location.hash) reveal();  // no hashchange follows
});
addEventListener("hashchange", reveal);
reveal();

// Tables sort by a click on a heading: by number where the column has numbers.
const value = cell => {
  const text = cell.textContent.trim(), found = text.match(/[-+−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?/i);
  return found ? parseFloat(found[0].replace(/,/g, "").replace("−", "-")) : null;
};
const compare = (a, b) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : a - b;
const sort = head => {
  const table = head.closest("table"), column = head.cellIndex, rows = [...table.tBodies[0].rows];
  const groups = [];  // a row without a name goes on with the one above
  for (const row of rows) row.cells[0].textContent.trim() || !groups.length ? groups.push([row]) : groups.at(-1).push(row);
  const down = head.getAttribute("aria-sort") === "ascending";
  const numbers = column > 0 && rows.some(row => value(row.cells[column]) !== null);
  groups.sort(([a], [b]) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    if (!numbers) return (down ? -1 : 1) * x.textContent.localeCompare(y.textContent);
    const [v, w] = [value(x), value(y)];
    return v === null || w === null ? compare(v, w) : (down ? -1 : 1) * (v - w);
  });
  all("th", table).forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...groups.flat());
};
all("th").forEach(head => {
  if (!head.textContent.trim()) return;
  const press = document.createElement("button");
  press.append(...head.childNodes);
  head.append(press);
  head.addEventListener("click", () => sort(head));
});

// A table wider than its frame says so, and shades the edge while more columns follow.
const mark = frame => {
  const rest = frame.scrollWidth - frame.clientWidth;
  frame.parentElement.classList.toggle("over", rest > 1);
  frame.parentElement.classList.toggle("more", rest - frame.scrollLeft > 1);
};
const watcher = new ResizeObserver(entries => entries.forEach(entry => mark(entry.target)));
all(".scroller").forEach(frame => {
  watcher.observe(frame);
  frame.addEventListener("scroll", () => mark(frame), { passive: true });
});

// Pictures fill the window after a click or Enter, until the next click or Escape.
const zoom = document.body.appendChild(document.createElement("dialog"));
zoom.className = "zoom";
zoom.addEventListener("click", () => zoom.close());
all("img").forEach(image => image.addEventListener("click", () => {
  zoom.replaceChildren(image.cloneNode());
  zoom.showModal();
}));
all("p > img").forEach(image => {
  image.tabIndex = 0;
  image.addEventListener("keydown", event => { if (event.key === "Enter") image.click(); });
});

// One clip plays at a time.
all("audio").forEach(audio => audio.addEventListener("play", () =>
  all("audio").forEach(other => { if (other !== audio) other.pause(); })));

// On paper everything is open.
let closed = [];
addEventListener("beforeprint", () => { closed = all("details:not([open])"); closed.forEach(part => { part.open = true; }); });
addEventListener("afterprint", () => closed.forEach(part => { part.open = false; }));
