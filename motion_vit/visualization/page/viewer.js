"use strict";
// The page: what is chosen, and everything drawn anew when that changes.

const content = JSON.parse(document.getElementById("content").textContent);
const element = (id) => document.getElementById(id);
const tables = Object.fromEntries(Object.entries(content.tables).map(([name, text]) => [name, bytesOf(text)]));
const video = content.video;
const chosen = { frame: 0, map: 0, layer: 0, channel: 0, point: content.point, pointFrame: 0, playing: null };
// Small videos are drawn larger, so that lines and arrows over them are fine.
const scale = Math.max(1, 960 / Math.max(video.width, video.height));
const pictures = video.frames.map((source) => Object.assign(new Image(), { src: source }));

const currentMap = () => content.maps[chosen.map];
const currentLayer = () => content.layers[currentMap().layers[chosen.layer]];

// The entry of a layer that a frame of the clip belongs to; the last pair of frames stands for the frames after it too.
function entryOf(layer, frame) {
  const first = Math.max(0, -(layer.step ?? 0));
  return Math.min(Math.max(layer.tokenFrames[frame] - first, 0), layer.entries - 1);
}

function patchOf(grid) {
  if (!chosen.point || !isSeen(grid, chosen.point.x, chosen.point.y)) return null;
  // The nearest one: of convolutions, the windows at the border are centred further in than what they see.
  const nearest = (place, count) => Math.min(Math.max(Math.floor(place), 0), count - 1);
  const row = nearest((chosen.point.y - grid.top) / grid.strideY, grid.rows);
  const column = nearest((chosen.point.x - grid.left) / grid.strideX, grid.columns);
  return { row, column };
}

// Whether a map lies over the frame, or is a table or a curve beside it.
const overlaysFrame = () => !["matrix", "curve"].includes(currentMap().kind);

// What the kinds of maps draw of: a layer and a channel, and a canvas with the pixels of it that one of the video has.
function viewOf(layer, channel, canvas, scale) {
  return {
    layer, tables, scale, channel,
    entry: entryOf(layer, chosen.frame),
    chosenEntry: entryOf(layer, chosen.pointFrame),
    patch: patchOf(layer.grid),
    pen: canvas.getContext("2d"),
    detail: element("detail"),
    legend: element("legend"),
    opacity: element("opacity").value / 100,
    arrows: element("arrows").checked,
    shown: document.querySelector("input[name=shown]:checked").value,
  };
}

const currentView = () => viewOf(currentLayer(), chosen.channel, element("frame"), scale);

function drawPicture({ pen }) {
  // Beneath colours that mean numbers the video is grey, so that all colour is the map's.
  pen.filter = overlaysFrame() && currentMap().kind !== "field" ? "grayscale(1)" : "none";
  pen.drawImage(pictures[chosen.frame], 0, 0, pen.canvas.width, pen.canvas.height);
  pen.filter = "none";
}

function drawFrame(view, kind) {
  const { layer, patch, pen } = view;
  drawPicture(view);
  kind.overlay(view);
  if (element("grid").checked) drawGrid(pen, layer.grid, scale);
  if (patch) strokeCell(pen, layer.grid, patch.row, patch.column, scale, "#fff");
  if (patch && layer.flow && layer.step > 0) {
    const x = layer.grid.left + (patch.column + 0.5) * layer.grid.strideX;
    const y = layer.grid.top + (patch.row + 0.5) * layer.grid.strideY;
    const first = layer.tokenFrames[chosen.pointFrame];
    drawTrack(pen, follow(layer, view.channel, first, x, y), Math.max(0, layer.tokenFrames[chosen.frame] - first), scale);
  }
}

function drawSide(view, kind) {
  const { layer, patch } = view;
  element("legend").width = element("legend").height = 0;
  element("detail").width = element("detail").height = 0;
  element("legend-text").textContent = kind.legend(view);
  const needsPatch = overlaysFrame();
  element("detail-text").textContent = needsPatch && !patch ? "Click a patch of the picture." : kind.detail(view);
  element("detail").hidden = !element("detail").width;
  element("legend").hidden = !element("legend").width;
  element("scale").hidden = !element("legend").width;
  element("shown-label").hidden = !(layer.volume && patch && ["field", "volume"].includes(currentMap().kind));
  const where = patch ? `: row ${patch.row + 1}, column ${patch.column + 1}` : "";
  element("detail-title").textContent = needsPatch ? `Chosen patch${where}` : currentMap().name;
}

function describe(view) {
  const { layer, entry } = view;
  const time = video.times[chosen.frame] === null ? "" : `, ${video.times[chosen.frame].toFixed(2)} s`;
  element("clock").textContent = `${chosen.frame + 1} / ${pictures.length}${time}`;
  const about = layer.pairs ? `frames ${layer.pairs[entry].map((frame) => frame + 1).join(" and ")}` : `frame ${layer.frames[entry] + 1}`;
  const channel = layer.channels.length > 1 ? `, ${layer.channels[view.channel]}` : "";
  element("caption").textContent = `${currentMap().name}, ${layer.name}${channel}; ${about} of the clip`;
}

function draw() {
  const view = currentView();
  const kind = kinds[currentMap().kind];
  drawFrame(view, kind);
  drawSide(view, kind);
  describe(view);
  element("time").value = chosen.frame;
  element("arrows").parentElement.hidden = currentMap().kind !== "field";
  drawOverview();
}

function fill(select, names, place) {
  select.replaceChildren(...names.map((name, value) => new Option(name, value, false, value === place)));
}

// Chooses, and keeps what is still there: the layer by its name, and the channel by its number.
function choose(part, value) {
  const name = currentLayer().name;
  chosen[part] = value;
  if (part === "map") {
    const same = currentMap().layers.findIndex((layer) => content.layers[layer].name === name);
    chosen.layer = Math.max(0, same);
  }
  if (chosen.channel >= currentLayer().channels.length) chosen.channel = 0;
  fillPickers();
  draw();
  remember({ asStep: true });
}

function fillPickers() {
  fill(element("map"), content.maps.map((map) => map.name), chosen.map);
  fill(element("layer"), currentMap().layers.map((layer) => content.layers[layer].name), chosen.layer);
  fill(element("channel"), currentLayer().channels, chosen.channel);
  element("channel-name").textContent = currentLayer().channelName;
  element("channel-label").hidden = currentLayer().channels.length < 2;
}

function step(frames) {
  chosen.frame = (chosen.frame + frames + pictures.length) % pictures.length;
  draw();
  // Browsers take only so many addresses in a while.
  if (!chosen.playing) remember({ asStep: false });
}

function play() {
  if (chosen.playing) clearInterval(chosen.playing);
  chosen.playing = chosen.playing ? null : setInterval(() => step(1), video.milliseconds);
  element("play").textContent = chosen.playing ? "Pause" : "Play";
  element("play").setAttribute("aria-pressed", String(Boolean(chosen.playing)));
  if (!chosen.playing) remember({ asStep: false });
}

function pick(x, y) {
  chosen.point = { x: Math.min(Math.max(x, 0), video.width - 0.01), y: Math.min(Math.max(y, 0), video.height - 0.01) };
  chosen.pointFrame = chosen.frame;
  draw();
}

// The middle of a patch, within what the patches see.
function middleOf(grid, row, column) {
  const inside = (place, start, length) => Math.min(Math.max(place, start), start + length - 0.01);
  return {
    x: inside(grid.left + (column + 0.5) * grid.strideX, grid.seen.left, grid.seen.width),
    y: inside(grid.top + (row + 0.5) * grid.strideY, grid.seen.top, grid.seen.height),
  };
}

// The neighbour of the chosen patch; the middle patch where none is chosen.
function movePatch(down, right) {
  const { grid } = currentLayer();
  const patch = patchOf(grid) ?? { row: Math.floor(grid.rows / 2) - down, column: Math.floor(grid.columns / 2) - right };
  const row = Math.min(Math.max(patch.row + down, 0), grid.rows - 1);
  const column = Math.min(Math.max(patch.column + right, 0), grid.columns - 1);
  const { x, y } = middleOf(grid, row, column);
  pick(x, y);
  remember({ asStep: false });
}

function release() {
  chosen.point = null;
  draw();
  remember({ asStep: true });
}

const next = (part, count) => () => choose(part, (chosen[part] + 1) % count());
const keys = {
  " ": play,
  ",": () => step(-1),
  ".": () => step(1),
  m: next("map", () => content.maps.length),
  l: next("layer", () => currentMap().layers.length),
  h: next("channel", () => currentLayer().channels.length),
  o: () => toggleOverview(),
  s: () => savePicture(),
  d: () => changeTheme(),
  Escape: release,
};
const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function changeTheme() {
  switchTheme();
  if (content.maps.length) draw();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onCanvas = event.target === element("frame");
  // Buttons, lists and sliders keep the keys that they know themselves.
  const busy = event.key === " " ? event.target.matches("button, select, input") : event.target.matches("select");
  if (onCanvas && moves[event.key]) movePatch(...moves[event.key]);
  else if (!busy && keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
}

function listen() {
  for (const part of ["map", "layer", "channel"]) {
    element(part).addEventListener("change", (event) => choose(part, Number(event.target.value)));
  }
  element("time").addEventListener("input", (event) => {
    chosen.frame = Number(event.target.value);
    draw();
  });
  element("time").addEventListener("change", () => remember({ asStep: false }));
  systemIsDark.addEventListener("change", () => {
    showTheme();
    draw();
  });
  element("save").addEventListener("click", savePicture);
  element("open-overview").addEventListener("click", toggleOverview);
  addEventListener("popstate", () => {
    restore();
    fillPickers();
    draw();
  });
  element("play").addEventListener("click", play);
  for (const input of document.querySelectorAll("#opacity, #arrows, #grid, input[name=shown]")) {
    input.addEventListener("input", draw);
  }
  element("frame").addEventListener("click", (event) => {
    const box = element("frame").getBoundingClientRect();
    pick(((event.clientX - box.left) / box.width) * video.width, ((event.clientY - box.top) / box.height) * video.height);
    remember({ asStep: true });
  });
  document.addEventListener("keydown", onKey);
}

async function start() {
  for (const id of ["title", "subtitle", "predictions"]) element(id).textContent = content[id];
  element("notes").replaceChildren(...content.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  showTheme();
  element("theme").addEventListener("click", changeTheme);
  if (!content.maps.length) {
    // Nothing can be chosen; the notes say why.
    document.querySelector("main").hidden = true;
    document.body.dataset.ready = "true";
    return;
  }
  Object.assign(element("frame"), { width: Math.round(video.width * scale), height: Math.round(video.height * scale) });
  element("time").max = pictures.length - 1;
  await Promise.all(pictures.map((picture) => picture.decode()));
  restore();
  fillPickers();
  listen();
  draw();
  document.body.dataset.ready = "true";
}

start();
