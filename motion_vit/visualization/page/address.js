"use strict";
// The address of a view, #map/layer/head/frame/patch, with names as they are shown and numbers from 1. A patch is
// "row,column", with the frame that it was picked in where that is another: "row,column,frame".

// A page within a page, as a notebook shows it, has no address of its own.
const hasAddress = location.protocol !== "about:";
const NOTHING = "-";
let lastAddress = "";
let atFirst = null;

function addressOfView() {
  const layer = currentLayer();
  const patch = patchOf(layer.grid);
  const since = chosen.pointFrame === chosen.frame ? [] : [chosen.pointFrame + 1];
  const parts = [
    currentMap().name,
    layer.name,
    layer.channels[chosen.channel] || NOTHING,
    chosen.frame + 1,
    patch ? [patch.row + 1, patch.column + 1, ...since].join() : NOTHING,
  ];
  return `#${parts.map((part) => encodeURIComponent(part).replaceAll("%2C", ",")).join("/")}`;
}

// Writes the address; as a step that the back button undoes, or in place of the last one.
function remember({ asStep }) {
  const address = addressOfView();
  if (!hasAddress || address === lastAddress) return;
  history[asStep ? "pushState" : "replaceState"](null, "", address);
  lastAddress = address;
}

function partsOfAddress() {
  try {
    return location.hash.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return []; // what somebody typed is no address
  }
}

const within = (number, count) => Math.min(Math.max(number || 1, 1), count) - 1;

// Restores the view of the address, as far as the page has it; without an address, the first view.
function restore() {
  if (!hasAddress) return;
  lastAddress = location.hash;
  atFirst ??= { ...chosen };
  if (location.hash.length < 2) {
    Object.assign(chosen, atFirst, { playing: chosen.playing });
    return;
  }
  const [map, layer, channel, frame, patch] = partsOfAddress();
  const place = (names, name) => Math.max(0, names.indexOf(name));
  chosen.map = place(content.maps.map((one) => one.name), map);
  chosen.layer = place(currentMap().layers.map((one) => content.layers[one].name), layer);
  chosen.channel = place(currentLayer().channels, channel);
  chosen.frame = within(Number(frame), pictures.length);
  const [row, column, since] = (patch ?? NOTHING).split(",").map(Number);
  const { grid } = currentLayer();
  chosen.point = row && column ? middleOf(grid, within(row, grid.rows), within(column, grid.columns)) : null;
  chosen.pointFrame = since ? within(since, pictures.length) : chosen.frame;
}
