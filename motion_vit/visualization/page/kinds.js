"use strict";
// The kinds of maps: what each lays over the frame, its scale, and what it tells of the chosen patch.

const finite = (values) => values.filter((value) => !Number.isNaN(value));

function limitsOf(values) {
  const known = finite(values);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
}

// A smooth curve through points, y from 0 to 1, with a line where x is zero.
function drawCurve(canvas, x, y) {
  [canvas.width, canvas.height] = [320, 200];
  const pen = canvas.getContext("2d");
  const across = (value) => 4 + ((value - x[0]) / (x[x.length - 1] - x[0])) * 312;
  const up = (value) => 176 - value * 168;
  pen.font = "13px system-ui, sans-serif";
  pen.fillStyle = pageColors().ink;
  [x[0], 0, x[x.length - 1]].forEach((value, place) => {
    pen.textAlign = ["left", "center", "right"][place];
    pen.fillText(written(value), across(value), 196);
  });
  const line = (color, width, points) => {
    [pen.strokeStyle, pen.lineWidth] = [color, width];
    pen.beginPath();
    points.forEach((point, place) => (place ? pen.lineTo(...point) : pen.moveTo(...point)));
    pen.stroke();
  };
  line(MIDDLE_GREY, 1, [[across(0), up(0)], [across(0), up(1)]]);
  line(MIDDLE_GREY, 1, [[4, up(0)], [316, up(0)]]);
  line(isDark() ? "#56b4e9" : "#0072b2", 3, x.map((value, place) => [across(value), up(y[place])]));
}

function showNeighbourhood(view) {
  const { layer, patch, entry, channel } = view;
  const values = neighbourhood(layer, channel, entry, patch, view.shown);
  const limits = view.shown === "softmax" ? [0, Math.max(...finite(values))] : limitsOf(values);
  const half = (layer.window - 1) / 2;
  const best = greatestPlace(values);
  const [bestRow, bestColumn] = [Math.floor(best / layer.window), best % layer.window];
  const color = (value) => tableColor(view.tables.viridis, (value - limits[0]) / (limits[1] - limits[0] || 1));
  drawTable(view.detail, layer.window, layer.window, (row, column) => values[row * layer.window + column], color, [
    [half, half, "#fff"],
    [bestRow, bestColumn, "#d55e00"],
  ]);
  const words = view.shown[0].toUpperCase() + view.shown.slice(1);
  return `${words} from ${written(limits[0])} (dark) to ${written(limits[1])} (bright). White: the same place. Orange: ` +
    `the greatest, ${written(values[best])}, ${inWords(bestColumn - half, bestRow - half, 0)} in patches.`;
}

const kinds = {
  field: {
    overlay(view) {
      const { layer, channel, entry, pen, scale } = view;
      const flow = unpack(layer.flow);
      const at = (row, column, part) => flow.at(channel, entry, row, column, part);
      drawCells(pen, layer.grid, scale, view.opacity, (row, column) => {
        const x = at(row, column, 0);
        return Number.isNaN(x) ? null : flowColor(view.tables.wheel, x, at(row, column, 1), layer.greatest);
      });
      if (view.arrows) this.arrows(view, at);
    },
    arrows({ layer, pen, scale }, at) {
      const { grid } = layer;
      for (let row = 0; row < grid.rows; row++) {
        for (let column = 0; column < grid.columns; column++) {
          const [x, y] = [at(row, column, 0), at(row, column, 1)];
          if (Number.isNaN(x) || Math.hypot(x, y) < 0.05 * layer.greatest) continue;
          const fromX = (grid.left + (column + 0.5) * grid.strideX) * scale;
          const fromY = (grid.top + (row + 0.5) * grid.strideY) * scale;
          drawArrow(pen, fromX, fromY, fromX + x * scale, fromY + y * scale);
        }
      }
    },
    legend(view) {
      drawWheel(view.legend, view.tables.wheel, view.layer.greatest, view.layer.unit);
      return "Colour is direction (right red, down yellow, left cyan, up violet), saturation is speed; white stays. Arrows are as long as the motion.";
    },
    detail(view) {
      const { layer, channel, entry, patch } = view;
      const [x, y] = unpack(layer.flow).row(channel, entry, patch.row, patch.column);
      const sure = unpack(layer.confidence).at(channel, entry, patch.row, patch.column);
      const told = `Moves ${inWords(x, y, 1)} (${layer.unit}), with confidence ${written(sure)}.`;
      return layer.volume ? `${told} ${showNeighbourhood(view)}` : told;
    },
  },
  volume: {
    overlay(view) {
      const { layer, channel, entry, patch } = view;
      if (!patch) return;
      const values = neighbourhood(layer, channel, entry, patch, view.shown);
      const limits = view.shown === "softmax" ? [0, Math.max(...finite(values))] : limitsOf(values);
      const half = (layer.window - 1) / 2;
      drawCells(view.pen, layer.grid, view.scale, view.opacity, (row, column) => {
        const [down, right] = [row - patch.row + half, column - patch.column + half];
        if (down < 0 || right < 0 || down >= layer.window || right >= layer.window) return null;
        const value = values[down * layer.window + right];
        if (Number.isNaN(value)) return null;
        return tableColor(view.tables.viridis, (value - limits[0]) / (limits[1] - limits[0] || 1));
      });
    },
    legend(view) {
      if (!view.patch) return "";
      const { layer, channel, entry, patch, shown } = view;
      const values = neighbourhood(layer, channel, entry, patch, shown);
      drawBar(view.legend, view.tables.viridis, ...(shown === "softmax" ? [0, Math.max(...finite(values))] : limitsOf(values)));
      return `${shown} of the patch with its ${layer.window} x ${layer.window} neighbourhood in the other frame of the pair`;
    },
    detail: showNeighbourhood,
  },
  scalar: {
    overlay(view) {
      const { layer, channel, entry } = view;
      const values = unpack(layer.values);
      const [least, greatest] = layer.limits;
      drawCells(view.pen, layer.grid, view.scale, view.opacity, (row, column) => {
        const value = values.at(channel, entry, row, column);
        return Number.isNaN(value) ? null : tableColor(view.tables[layer.colors], (value - least) / (greatest - least || 1));
      });
    },
    legend(view) {
      const { layer, legend, tables } = view;
      drawBar(legend, tables[layer.colors], ...layer.limits);
      return layer.exceeded ? `${layer.unit}. The brightest colour also stands for more.` : layer.unit;
    },
    detail({ layer, channel, entry, patch }) {
      return `${written(unpack(layer.values).at(channel, entry, patch.row, patch.column))} ${layer.unit}`;
    },
  },
  attention: {
    // The weights of the chosen patch of the frame that it was chosen in, or their mean over all patches.
    weights({ layer, channel, patch, chosenEntry }) {
      const weights = unpack(layer.weights);
      if (patch) {
        return weights.row(channel, (chosenEntry * layer.grid.rows + patch.row) * layer.grid.columns + patch.column);
      }
      const sum = new Array(weights.rowLength).fill(0);
      for (let query = 0; query < weights.shape[1]; query++) {
        weights.row(channel, query).forEach((value, key) => (sum[key] += value / weights.shape[1]));
      }
      return sum;
    },
    overlay(view) {
      const { grid } = view.layer;
      const weights = this.weights(view);
      const greatest = Math.max(...weights);
      drawCells(view.pen, grid, view.scale, view.opacity, (row, column) =>
        tableColor(view.tables.magma, weights[(view.entry * grid.rows + row) * grid.columns + column] / greatest));
    },
    legend(view) {
      drawBar(view.legend, view.tables.magma, 0, Math.max(...this.weights(view)));
      return view.patch ? `attention of the chosen patch, of frame ${view.chosenEntry + 1} of the layer` : "attention that a patch gets, mean of all";
    },
    detail: () => "The map shows what the chosen patch attends to, in all frames. Esc shows the mean of all patches.",
  },
  matrix: {
    overlay() {},
    place({ layer, patch }) {
      return patch && unpack(layer.values).shape[1] > 1 ? patch.row * layer.grid.columns + patch.column : 0;
    },
    legend(view) {
      drawBar(view.legend, view.tables.viridis, ...view.layer.limits);
      return view.layer.unit;
    },
    detail(view) {
      const values = unpack(view.layer.values);
      const [place, frames] = [this.place(view), values.shape[2]];
      const [least, greatest] = view.layer.limits;
      drawTable(view.detail, frames, frames, (row, column) => values.at(view.channel, place, row, column),
        (value) => tableColor(view.tables.viridis, (value - least) / (greatest - least || 1)), [[view.entry, view.entry, "#d55e00"]]);
      return "Row: the frame that attends. Column: the frame attended to. Orange: this frame.";
    },
  },
  curve: {
    overlay() {},
    legend: () => "",
    detail({ layer, detail }) {
      const [x, y] = [unpack(layer.change), unpack(layer.attention)];
      drawCurve(detail, x.codes.map((_, place) => x.at(place)), y.codes.map((_, place) => y.at(place)));
      return `Across: change of the grey value to the next frame, of pixels from 0 to 1. Up: attention. ` +
        `Slope ${written(layer.slope)}; half of the attention at a change of ${written(layer.shift)}.`;
    },
  },
};
