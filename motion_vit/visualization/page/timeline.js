"use strict";
// The timeline: bars of segments, curves of probabilities, and what there is to see at the chosen second.

const content = JSON.parse(document.getElementById("content").textContent);
const element = (id) => document.getElementById(id);
const { start, end } = content;
const length = Math.max(end - start, 1e-9);
let chosen = start;

const share = (second) => Math.min(Math.max((second - start) / length, 0), 1);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const seconds = (value) => `${value.toFixed(2)} s`;

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function mark(color) {
  const made = make("span", { className: "mark" });
  made.style.background = color;
  return made;
}

// The segment at a second; the one that starts there, where two meet.
function segmentAt(second) {
  return content.segments.findLastIndex((one) => one.start <= second && (second < one.end || second === end));
}

function nearest(list, second, middle) {
  let best = null;
  for (const one of list) {
    if (best === null || Math.abs(middle(one) - second) < Math.abs(middle(best) - second)) best = one;
  }
  return best;
}

function secondOf(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return start + Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * length;
}

function bar(one, number) {
  const made = make("button", { type: "button", title: `${one.label}: ${seconds(one.start)} to ${seconds(one.end)}` });
  made.setAttribute("aria-label", `${one.label}, ${seconds(one.start)} to ${seconds(one.end)}, ${percent(one.probability)}`);
  made.dataset.segment = number;
  made.style.left = `${100 * share(one.start)}%`;
  made.style.width = `${100 * (share(one.end) - share(one.start))}%`;
  made.style.background = one.color;
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    choose((one.start + one.end) / 2);
  });
  return made;
}

function fillRows() {
  const labels = [...new Set(content.segments.map((one) => one.label))];
  for (const label of labels) {
    const track = make("div", { className: "track" }, make("span", { className: "cursor" }));
    content.segments.forEach((one, number) => one.label === label && track.append(bar(one, number)));
    track.addEventListener("click", (event) => choose(secondOf(event)));
    element("rows").append(make("div", { className: "line" }, make("span", { className: "name", title: label, textContent: label }), track));
  }
  if (!labels.length) element("rows").append(make("p", { textContent: "No label is probable enough anywhere." }));
}

function fillCurve() {
  const curve = element("curve");
  curve.append(drawing("line", { class: "half", x1: 0, x2: 1000, y1: 80, y2: 80 }));
  for (const { label, color, values } of content.curves) {
    // Where logits are not finite the line is interrupted.
    let points = [];
    const flush = () => {
      if (points.length) curve.append(drawing("polyline", { points: points.join(" "), stroke: color }));
      points = [];
    };
    values.forEach((value, place) => {
      if (value === null) flush();
      else points.push(`${(1000 * share(content.times[place])).toFixed(2)},${(160 * (1 - value)).toFixed(2)}`);
    });
    flush();
    element("class-legend").append(make("li", {}, mark(color), label));
  }
  curve.append(drawing("line", { id: "curve-cursor", y1: 0, y2: 160 }));
  curve.addEventListener("click", (event) => choose(secondOf(event)));
}

function showPictures(moment) {
  element("motion-figure").hidden = !moment || !moment.motion;
  element("wheel-figure").hidden = !content.wheel || !moment || !moment.motion;
  if (!moment) {
    element("caption").textContent = "There are no pictures.";
    element("frames").replaceChildren();
    return;
  }
  const inside = moment.start <= chosen && chosen <= moment.end;
  const where = `${seconds(moment.start)} to ${seconds(moment.end)}`;
  element("caption").textContent = inside ? `Pictures of the window ${where}.` : `Pictures of the nearest moment that has any: the window ${where}.`;
  if (moment.motion) Object.assign(element("motion"), { src: moment.motion, alt: `Motion from ${seconds(moment.pair[0])} to ${seconds(moment.pair[1])}` });
  if (moment.motion) element("motion-text").textContent = `Motion from ${seconds(moment.pair[0])} to ${seconds(moment.pair[1])}, layer ${content.layer}`;
  element("frames").replaceChildren(...moment.frames.map(({ second, picture }) => make("img", { src: picture, alt: `Frame at ${seconds(second)}`, title: seconds(second) })));
}

function showClasses(moment) {
  const window = moment && moment.start <= chosen && chosen <= moment.end ? moment : null;
  const rows = window ? window.classes : content.curves.map(({ label, values }) => [label, values[place()]]).filter(([, value]) => value !== null && value !== undefined);
  rows.sort((one, other) => other[1] - one[1]);
  element("classes").replaceChildren(...rows.map(([label, value]) => make("tr", {}, make("td", { textContent: label }), make("td", { textContent: percent(value) }))));
}

// The number of the window whose middle is nearest.
function place() {
  const middle = nearest(content.times, chosen, (time) => time);
  return content.times.indexOf(middle);
}

function choose(second) {
  chosen = Math.min(Math.max(second, start), end);
  const held = segmentAt(chosen);
  const one = content.segments[held];
  element("when").textContent = `${seconds(chosen)}: ${one ? `${one.label}, ${percent(one.probability)} (${seconds(one.start)} to ${seconds(one.end)})` : "no label"}`;
  element("second").value = chosen;
  element("second").setAttribute("aria-valuetext", element("when").textContent);
  for (const cursor of document.querySelectorAll(".cursor")) cursor.style.left = `${100 * share(chosen)}%`;
  for (const side of ["x1", "x2"]) element("curve-cursor").setAttribute(side, 1000 * share(chosen));
  for (const button of document.querySelectorAll("[data-segment]")) button.setAttribute("aria-pressed", String(Number(button.dataset.segment) === held));
  const moment = nearest(content.moments, chosen, (each) => (each.start + each.end) / 2);
  showPictures(moment);
  showClasses(moment);
}

function begin() {
  for (const id of ["title", "subtitle"]) element(id).textContent = content[id];
  element("notes").replaceChildren(...content.notes.map((note) => make("li", { textContent: note })));
  if (content.wheel) Object.assign(element("wheel"), { src: content.wheel });
  element("wheel-text").textContent = content.wheelText;
  Object.assign(element("second"), { min: start, max: end, step: content.step });
  fillRows();
  fillCurve();
  element("second").addEventListener("input", (event) => choose(Number(event.target.value)));
  choose(content.segments.length ? (content.segments[0].start + content.segments[0].end) / 2 : start);
  document.body.dataset.ready = "true";
}

begin();
