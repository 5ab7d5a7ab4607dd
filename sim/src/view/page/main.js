// The page: what is looked at, and what the mouse and the keys do about it.

const recording = unpack(JSON.parse(document.getElementById("recording").textContent));
const get = (id) => document.getElementById(id);
const view = {
  // The part of the run that the lanes show, and the time that the panel is about.
  from: 0, until: recording.end_us, at: 0, lane: 0,
  // Kinds of messages that are switched off, and what the filter lets through.
  off: new Set(), filter: "", match: null,
  chosen: null, hovered: null,
};
const states = new States(recording);
const lanes = new Lanes(get("lanes"), recording, view);
const overview = new Overview(get("overview"), recording, view);
const panel = new Panel(recording, states, view, { choose, goToEnd, redraw });

let due = false, panelDue = false;
function redraw(withPanel = true) {
  panelDue ||= withPanel;
  if (due) return;
  due = true;
  requestAnimationFrame(draw);
}

function draw() {
  due = false;
  lanes.draw();
  overview.draw();
  if (panelDue) panel.draw();
  panelDue = false;
}

function resize() {
  const box = get("scroll").getBoundingClientRect();
  const width = Math.floor(box.width), height = Math.floor(box.height);
  if (width === lanes.width && height === lanes.given && lanes.ratio === window.devicePixelRatio) return;
  lanes.resize(width, height);
  overview.resize(width, 58);
  // At once: a canvas that got another size is empty until then.
  panelDue = true;
  draw();
}

function look(from, until) {
  const room = recording.end_us * 0.01, lowest = -room, highest = recording.end_us + room;
  const long = Math.max(20, Math.min(until - from, highest - lowest));
  view.from = Math.max(lowest, Math.min(from, highest - long));
  view.until = view.from + long;
  lanes.stale = true;
  redraw(false);
}

// The whole run, with a little room at both ends.
function lookAtAll() { look(-Infinity, Infinity); }

function zoom(factor, around) {
  const pin = around ?? (view.at >= view.from && view.at <= view.until ? view.at : (view.from + view.until) / 2);
  look(pin - (pin - view.from) * factor, pin + (view.until - pin) * factor);
}

function setTime(at_us, follow = true) {
  view.at = Math.round(Math.max(0, Math.min(at_us, recording.end_us)));
  get("time").value = view.at;
  const long = view.until - view.from;
  if (follow && (view.at < view.from || view.at > view.until)) look(view.at - long / 2, view.at + long / 2);
  redraw();
}

function setLane(lane) {
  view.lane = lane;
  lanes.stale = true;
  redraw();
}

function choose(thing, at_us) {
  view.chosen = thing;
  if (thing.type === "message") {
    // The receiver is where something comes of it.
    const lane = recording.messages.lost[thing.place] ? recording.messages.from[thing.place] : recording.messages.to[thing.place];
    setLane(lane);
    setTime(at_us ?? recording.messages.until[thing.place]);
  } else if (thing.type === "happening") {
    if (recording.happenings.lane[thing.place] >= 0) setLane(recording.happenings.lane[thing.place]);
    setTime(at_us ?? recording.happenings.at[thing.place]);
  } else setTime(recording.faults[thing.place].at);
}

function goToEnd() {
  const long = Math.min(recording.end_us, Math.max(20_000, recording.end_us / 200));
  look(recording.end_us - long * 0.9, recording.end_us + long * 0.1);
  setTime(recording.end_us);
}

// To what happened before or after: the next one in the list of steps.
function move(direction) {
  const { all, isShown } = panel.rows();
  let i = direction > 0 ? countUpto(all.length, (i) => all[i].at, view.at) : countUpto(all.length, (i) => all[i].at, view.at - 1) - 1;
  while (i >= 0 && i < all.length && !isShown(all[i])) i += direction;
  if (i >= 0 && i < all.length) choose(thingOf(all[i]), all[i].at);
}

function setFilter(text) {
  view.filter = text.trim();
  view.match = matching(recording, view.filter);
  const { messages } = recording;
  let found = 0;
  if (view.match) for (let i = 0; i < messages.count; i++) found += view.match.sets[messages.keys[i]] ? 1 : 0;
  const keys = view.match ? view.match.keys.filter(Boolean).length : 0;
  get("found").textContent = view.match ? keys + (keys === 1 ? " key, " : " keys, ") + found.toLocaleString("en") + " messages" : "";
  lanes.stale = overview.stale = true;
  redraw();
}

// The heading, the kinds and the keys to choose from.
function fillHeader() {
  const { end, messages, happenings } = recording;
  get("title").textContent = recording.title;
  get("end").textContent = end.how === "broken" ? end.promise + " broke" : end.how;
  get("end").classList.add(end.how);
  get("why").textContent = end.how === "held" ? "" : end.text;
  get("why").title = end.text;
  get("counts").textContent = [many(recording.nodes, "node"), many(recording.clients, "client"), many(messages.count, "message"),
    many(happenings.count, "happening"), seconds(recording.end_us, 2) + " s"].join(" · ");
  get("time").max = recording.end_us;
  get("keys").replaceChildren(...[...recording.keys].sort().slice(0, 500).map((key) => el("option", { value: key })));
  const counts = new Map();
  for (let i = 0; i < messages.count; i++) counts.set(messages.kind[i], (counts.get(messages.kind[i]) || 0) + 1);
  get("kinds").replaceChildren(...[...KINDS.keys(), -1].filter((kind) => counts.has(kind)).map((kind) => {
    const swatch = el("i", { style: "background: var(--" + (kind < 0 ? "lost" : "kind" + kind) + ")" });
    const button = el("button", { type: "button", "aria-pressed": "true", "data-kind": kind }, swatch, kind < 0 ? "lost" : KINDS[kind],
      el("small", null, counts.get(kind).toLocaleString("en")));
    button.addEventListener("click", () => {
      if (!view.off.delete(kind)) view.off.add(kind);
      button.setAttribute("aria-pressed", String(!view.off.has(kind)));
      lanes.stale = overview.stale = true;
      redraw();
    });
    return button;
  }));
}

function tell(event, thing) {
  const tip = get("tip");
  if (!thing || thing.type === "lane") { tip.hidden = true; return; }
  const { messages, happenings, faults, texts } = recording, i = thing.place;
  const [what, about] = thing.type === "message"
    ? [texts[messages.text[i]], recording.lanes[messages.from[i]] + " → " + recording.lanes[messages.to[i]] + (messages.lost[i] ? ", lost" : ", " + span(messages.until[i] - messages.sent[i]))]
    : thing.type === "fault" ? [faults[i].title, "for " + span(faults[i].until - faults[i].at)]
    : [texts[happenings.text[i]], seconds(happenings.at[i]) + " s"];
  tip.replaceChildren(what, el("small", null, about));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8) + "px";
  tip.style.top = (event.clientY + 18 + box.height > window.innerHeight ? event.clientY - box.height - 10 : event.clientY + 18) + "px";
}

function wireLanes() {
  const canvas = get("lanes");
  let pulled = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    const [x] = place(event);
    pulled = { x, from: view.from, until: view.until, far: false };
    try { canvas.setPointerCapture(event.pointerId); } catch { /* The pointer is gone already. */ }
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (pulled) {
      pulled.far ||= Math.abs(x - pulled.x) > 3;
      if (!pulled.far) return;
      canvas.classList.add("pulled");
      const by = ((pulled.x - x) / (lanes.width - GUTTER)) * (pulled.until - pulled.from);
      look(pulled.from + by, pulled.until + by);
      return;
    }
    const thing = lanes.hit(x, y);
    const same = thing?.type === view.hovered?.type && thing?.place === view.hovered?.place;
    view.hovered = thing && thing.type !== "lane" ? thing : null;
    tell(event, thing);
    if (!same) redraw(false);
  });
  canvas.addEventListener("pointerup", (event) => {
    const wasClick = pulled && !pulled.far;
    pulled = null;
    canvas.classList.remove("pulled");
    if (!wasClick) return;
    const [x, y] = place(event), thing = lanes.hit(x, y);
    if (thing?.type === "lane") return setLane(thing.place);
    if (thing) return choose(thing);
    view.chosen = null;
    const lane = lanes.middle.findIndex((middle, i) => Math.abs(y - middle) <= lanes.tall[i] / 2);
    if (lane >= 0) setLane(lane);
    setTime(lanes.time(x));
  });
  canvas.addEventListener("pointerleave", () => { view.hovered = null; tell(null, null); redraw(false); });
  canvas.addEventListener("dblclick", (event) => zoom(0.25, lanes.time(place(event)[0])));
  canvas.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (sideways / lanes.width) * (view.until - view.from);
      look(view.from + by, view.until + by);
    } else zoom(Math.exp(event.deltaY * 0.0016), lanes.time(place(event)[0]));
    event.preventDefault();
  }, { passive: false });
}

function wireOverview() {
  const canvas = get("overview");
  let off = null;
  const at = (event) => overview.time(event.clientX - canvas.getBoundingClientRect().left);
  canvas.addEventListener("pointerdown", (event) => {
    const time = at(event), inside = time >= view.from && time <= view.until;
    off = inside ? time - view.from : (view.until - view.from) / 2;
    look(time - off, time - off + view.until - view.from);
    try { canvas.setPointerCapture(event.pointerId); } catch { /* The pointer is gone already. */ }
  });
  canvas.addEventListener("pointermove", (event) => { if (off !== null) look(at(event) - off, at(event) - off + view.until - view.from); });
  canvas.addEventListener("pointerup", () => { off = null; });
  canvas.addEventListener("wheel", (event) => { zoom(Math.exp(event.deltaY * 0.0016), at(event)); event.preventDefault(); }, { passive: false });
}

function wireKeys() {
  const keys = {
    ArrowLeft: () => move(-1), ArrowRight: () => move(1), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
    0: lookAtAll, "/": () => get("key").focus(), End: goToEnd, Home: () => setTime(0),
    ArrowUp: () => setLane(Math.max(0, view.lane - 1)), ArrowDown: () => setLane(Math.min(recording.lanes.length - 1, view.lane + 1)),
    Escape: () => { view.chosen = null; get("key").value = ""; setFilter(""); },
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.key !== "Escape";
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
  });
}

// An address such as page.html#at=1500000&from=1000000&until=2000000&lane=n1&key=k3 opens the page there.
function openAtAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (name, otherwise) => (words.has(name) && isFinite(words.get(name)) ? Number(words.get(name)) : otherwise);
  look(number("from", -Infinity), number("until", Infinity));
  const lane = recording.lanes.indexOf(words.get("lane"));
  if (lane >= 0) setLane(lane);
  get("key").value = words.get("key") || "";
  setFilter(get("key").value);
  setTime(number("at", recording.end.how === "held" ? 0 : recording.end_us), false);
}

fillHeader();
wireLanes();
wireOverview();
wireKeys();
get("key").addEventListener("input", (event) => setFilter(event.target.value));
get("time").addEventListener("input", (event) => setTime(Number(event.target.value)));
get("back").addEventListener("click", () => move(-1));
get("next").addEventListener("click", () => move(1));
get("closer").addEventListener("click", () => zoom(0.5));
get("wider").addEventListener("click", () => zoom(2));
get("whole").addEventListener("click", lookAtAll);
get("end").addEventListener("click", goToEnd);
new ResizeObserver(resize).observe(get("scroll"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours.clear();
  lanes.stale = overview.stale = true;
  redraw();
});
window.addEventListener("hashchange", openAtAddress);
resize();
openAtAddress();
