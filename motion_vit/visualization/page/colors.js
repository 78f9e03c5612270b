"use strict";
// Values and motions as colours; the tables come with the content, so that they are those of the other pictures.

function tableColor(table, share) {
  const place = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
  return [table[place], table[place + 1], table[place + 2]];
}

// The Middlebury convention: see motion_vit/visualization/flow_colors.py.
function flowColor(wheel, x, y, greatest) {
  const colors = wheel.length / 3;
  const speed = Math.hypot(x, y) / greatest;
  const place = ((Math.atan2(-y, -x) / Math.PI + 1) / 2) * (colors - 1);
  const lower = Math.floor(place);
  const upper = (lower + 1) % colors;
  return [0, 1, 2].map((part) => {
    const color = (wheel[3 * lower + part] * (lower + 1 - place) + wheel[3 * upper + part] * (place - lower)) / 255;
    return Math.floor(255 * (speed <= 1 ? 1 - speed * (1 - color) : 0.75 * color));
  });
}

function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// Numbers with as many digits as a reader can use.
function written(value) {
  if (Number.isNaN(value)) return "none";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 10000)) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 1 ? 1 : 3).replace("-0.000", "0.000");
}
