"use strict";

// Goes through a page as a person would: every event is one that the browser itself would send. What the page then shows
// is written down line by line, and takes the place of the page.
(async () => {
  const told = [];
  const tell = (name, value) => told.push(name + ": " + String(value).replace(/\s+/g, " ").trim());
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const text = (selector) => document.querySelector(selector).textContent;
  const canvas = document.getElementById("lanes");
  const point = (type, x, y, more = {}) => {
    const box = canvas.getBoundingClientRect();
    const Kind = type === "wheel" ? WheelEvent : PointerEvent;
    canvas.dispatchEvent(new Kind(type, { bubbles: true, cancelable: true, clientX: box.left + x, clientY: box.top + y, pointerId: 1, ...more }));
  };
  const click = (x, y) => { point("pointerdown", x, y); point("pointerup", x, y); };
  const type = (id, value) => {
    const input = document.getElementById(id);
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

  // Whether a pixel next to a point has nearly this colour.
  const hasColour = (x, y, hex) => {
    const wanted = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), ratio = lanes.ratio;
    const { data } = canvas.getContext("2d").getImageData(Math.round(x * ratio) - 3, Math.round(y * ratio) - 3, 7, 7);
    for (let at = 0; at < data.length; at += 4) {
      if (wanted.every((value, i) => Math.abs(value - data[at + i]) < 40)) return true;
    }
    return false;
  };

  async function look_around() {
    await drawn();
    tell("title", text("#title"));
    tell("end", text("#end"));
    tell("counts", text("#counts"));
    tell("pictures", document.images.length);
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    tell("colours", new Set(pixels).size);
  }

  async function filter_a_key() {
    tell("unfiltered", lanes.inView.length);
    type("key", WANTED.key);
    await drawn();
    tell("found", text("#found"));
    tell("filtered", lanes.inView.length);
    const { messages, sets, keys } = recording;
    tell("strays", lanes.inView.filter((i) => !sets[messages.keys[i]].some((key) => keys[key] === WANTED.key)).length);
    tell("touched", text("#lane ol.steps"));
    press("Escape");
    await drawn();
    tell("unfiltered again", lanes.inView.length);
  }

  async function drag_the_scrubber() {
    // There and back, so that a state is come to from both sides.
    for (const at of [0, WANTED.at / 2, recording.end_us, WANTED.at]) {
      type("time", at);
      await drawn();
    }
    tell("now", text("#now strong"));
  }

  async function click_a_lane() {
    click(20, lanes.middle[WANTED.node]);
    await drawn();
    tell("lane", text("#lane h2"));
    tell("phase", text("#lane dd"));
    for (const row of document.querySelectorAll("#lane tr:not(.flight)")) {
      const cells = [...row.querySelectorAll("td")].map((cell) => cell.textContent);
      if (cells.length > 0) tell("record", cells[0] + " is " + cells[1]);
    }
  }

  async function click_a_message() {
    const { messages } = recording;
    // A write of a client: what one node asks another on behalf of one has the same colour.
    const isWrite = (i) => !messages.lost[i] && recording.texts[messages.text[i]].startsWith("CLIENT_OP ");
    const first = messages.kind.findIndex((kind, i) => isWrite(i) && messages.sent[i] >= WANTED.at);
    for (let turn = 0; turn < 40 && view.until - view.from > 50_000; turn++) {
      point("wheel", lanes.x(messages.sent[first]), 200, { deltaY: -300 });
      await drawn();
    }
    tell("zoomed", view.until - view.from <= 50_000 && lanes.inView.length < recording.messages.count / 10);
    // One that lies under nothing else in its middle.
    const middle = (i) => { const [x, y, x2, y2] = lanes.arrow(i); return [(x + x2) / 2, (y + y2) / 2]; };
    const free = lanes.inView.find((i) => isWrite(i) && lanes.hit(...middle(i))?.place === i && lanes.hit(...middle(i)).type === "message");
    tell("its colour is there", hasColour(...middle(free), kindColour(0)));
    click(...middle(free));
    await drawn();
    tell("chosen", text("#chosen h2"));
    tell("says", text("#chosen .what"));
    tell("kind", text("#chosen dd"));
    const before = view.from;
    point("pointerdown", 500, 300);
    point("pointermove", 400, 300);
    point("pointerup", 400, 300);
    tell("pulled later", view.from > before);
  }

  async function step_through() {
    const before = view.at;
    document.getElementById("next").click();
    await drawn();
    tell("next is later", view.at > before);
    document.getElementById("back").click();
    press("ArrowLeft");
    await drawn();
    tell("back is earlier", view.at < before);
    document.querySelector("#lane ol.steps li.later").click();
    await drawn();
    tell("the step chosen is current", document.querySelectorAll("#lane ol.steps li.current").length);
  }

  async function switch_kinds() {
    document.getElementById("whole").click();
    await drawn();
    const all = lanes.inView.length, chip = document.querySelector('#kinds [data-kind="7"]');
    chip.click();
    await drawn();
    tell("heartbeats off", chip.getAttribute("aria-pressed") === "false" && lanes.inView.length < all);
    tell("heartbeats left", lanes.inView.filter((i) => recording.messages.kind[i] === 7).length);
    chip.click();
    await drawn();
    tell("heartbeats on", lanes.inView.length === all);
  }

  async function ask_about_a_fault() {
    const [left, top, wide] = lanes.faultBar(recording.faults[0]);
    point("pointermove", left + wide / 2, top + 5);
    tell("faults", recording.faults.map((fault) => fault.title).join(", "));
    tell("tip", document.getElementById("tip").hidden ? "hidden" : text("#tip"));
    click(left + wide / 2, top + 5);
    await drawn();
    tell("fault", text("#chosen .what"));
    document.getElementById("end").click();
    await drawn();
    tell("at the end", view.at === recording.end_us);
  }

  try {
    for (const part of [look_around, filter_a_key, drag_the_scrubber, click_a_lane, click_a_message, step_through, switch_kinds, ask_about_a_fault]) {
      await part();
    }
  } catch (error) {
    tell("error", error.stack);
  }
  for (const each of wrong) tell("error", each);
  tell("title of the window", document.title);
  const pre = document.createElement("pre");
  pre.id = "told";
  pre.textContent = told.join("\n") + "\n";
  document.body.replaceChildren(pre);
})();
