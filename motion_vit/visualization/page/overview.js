"use strict";
// All layers and heads of a map side by side, small; a click opens one.

const SMALL_WIDTH = 160;
let listed = null;
let small = [];

function tile(layer, place, channel) {
  const canvas = document.createElement("canvas");
  const name = content.layers[layer].channels[channel] || currentMap().name;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
  button.append(canvas, Object.assign(document.createElement("span"), { textContent: name }));
  button.addEventListener("click", () => {
    chosen.layer = place;
    choose("channel", channel);
    toggleOverview();
    element("frame").focus();
  });
  small.push({ layer, place, channel, canvas, button });
  return button;
}

function listTiles() {
  small = [];
  element("overview-title").textContent = `${currentMap().name}: all layers`;
  const rows = currentMap().layers.map((number, place) => {
    const layer = content.layers[number];
    const row = Object.assign(document.createElement("div"), { className: "tiles" });
    row.append(...layer.channels.map((_, channel) => tile(number, place, channel)));
    return [Object.assign(document.createElement("h3"), { textContent: layer.name }), row];
  });
  element("tiles").replaceChildren(...rows.flat());
}

function drawOverview() {
  if (element("overview").hidden) return;
  if (listed !== chosen.map) {
    listTiles();
    listed = chosen.map;
  }
  const isTable = !overlaysFrame();
  for (const { layer, place, channel, canvas, button } of small) {
    button.setAttribute("aria-current", String(place === chosen.layer && channel === chosen.channel));
    canvas.width = SMALL_WIDTH;
    canvas.height = Math.max(1, Math.round((SMALL_WIDTH * video.height) / video.width));
    const view = viewOf(content.layers[layer], channel, canvas, SMALL_WIDTH / video.width);
    const kind = kinds[currentMap().kind];
    if (isTable) kind.detail({ ...view, detail: canvas });
    else {
      drawPicture(view);
      kind.overlay({ ...view, arrows: false });
    }
  }
}

function toggleOverview() {
  element("overview").hidden = !element("overview").hidden;
  element("open-overview").setAttribute("aria-expanded", String(!element("overview").hidden));
  drawOverview();
  if (!element("overview").hidden) element("overview").scrollIntoView({ block: "nearest" });
}
