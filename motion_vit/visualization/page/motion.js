"use strict";
// Motion of patches: displacement fields, the cost volumes that they come from, and the tracks of points.

// Bilinear between the middles of patches, and that of the nearest ones at the border.
function flowAt(layer, channel, entry, x, y) {
  const { grid } = layer;
  const flow = unpack(layer.flow);
  const between = (place, count) => {
    const known = Math.min(Math.max(place, 0), count - 1);
    const lower = Math.floor(known);
    return [[lower, 1 - (known - lower)], [Math.min(lower + 1, count - 1), known - lower]];
  };
  const sum = [0, 0];
  for (const [row, weightDown] of between((y - grid.top) / grid.strideY - 0.5, grid.rows)) {
    for (const [column, weightRight] of between((x - grid.left) / grid.strideX - 0.5, grid.columns)) {
      for (const part of [0, 1]) sum[part] += weightDown * weightRight * flow.at(channel, entry, row, column, part);
    }
  }
  return sum;
}

function isSeen({ seen }, x, y) {
  return x >= seen.left && y >= seen.top && x < seen.left + seen.width && y < seen.top + seen.height;
}

// The places of a point, one for each frame of tokens from the first on, until it leaves what the tokens see.
// As motion_vit/visualization/point_tracks.py does it.
function follow(layer, channel, firstFrame, x, y) {
  const points = [];
  for (let frame = firstFrame; frame < layer.frames.length && isSeen(layer.grid, x, y); frame++) {
    points.push([x, y]);
    const flow = flowAt(layer, channel, Math.min(frame, layer.entries - 1), x, y);
    [x, y] = [x + flow[0] / layer.step, y + flow[1] / layer.step];
  }
  return points;
}

// The K * K values of a patch: of a head, or (channel 0) their mean over heads.
function neighbourhood(layer, channel, entry, patch, shown) {
  const volume = unpack(layer.volume);
  const ofHead = (head) => {
    const values = volume.row(entry, patch.row, patch.column, head);
    return shown === "softmax" ? softmax(values) : values;
  };
  if (channel > 0) return ofHead(channel - 1);
  const heads = Array.from({ length: volume.shape[3] }, (_, head) => ofHead(head));
  return heads[0].map((_, entry) => heads.reduce((sum, values) => sum + values[entry], 0) / heads.length);
}

function greatestPlace(values) {
  let best = -1;
  values.forEach((value, place) => {
    if (!Number.isNaN(value) && (best < 0 || value > values[best])) best = place;
  });
  return best;
}

// A displacement in words; positive is to the right and down.
function inWords(x, y, digits) {
  const across = `${Math.abs(x).toFixed(digits)} ${x < 0 ? "left" : "right"}`;
  const along = `${Math.abs(y).toFixed(digits)} ${y < 0 ? "up" : "down"}`;
  return `${across} and ${along}`;
}
