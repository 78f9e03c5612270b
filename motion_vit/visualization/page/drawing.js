"use strict";
// What is laid over a frame, and the pictures beside it. Lengths are pixels of the canvas.

// For lines that are seen on light and on dark pages.
const MIDDLE_GREY = "#8b929a";

// Where the shares of rows or columns begin; the outer ones end where what the patches see ends.
function edgeX({ seen, left, strideX, columns }, column) {
  return column <= 0 ? seen.left : column >= columns ? seen.left + seen.width : left + column * strideX;
}

function edgeY({ seen, top, strideY, rows }, row) {
  return row <= 0 ? seen.top : row >= rows ? seen.top + seen.height : top + row * strideY;
}

function fillCell(pen, grid, row, column, scale, color) {
  pen.fillStyle = color;
  // Edges are rounded, so that neighbours meet without a seam.
  const [left, right] = [column, column + 1].map((place) => Math.round(edgeX(grid, place) * scale));
  const [top, bottom] = [row, row + 1].map((place) => Math.round(edgeY(grid, place) * scale));
  pen.fillRect(left, top, right - left, bottom - top);
}

function drawCells(pen, grid, scale, opacity, colorAt) {
  pen.globalAlpha = opacity;
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const color = colorAt(row, column);
      if (color) fillCell(pen, grid, row, column, scale, css(color));
    }
  }
  pen.globalAlpha = 1;
}

function strokeCell(pen, grid, row, column, scale, color) {
  const [left, right] = [column, column + 1].map((place) => edgeX(grid, place) * scale);
  const [top, bottom] = [row, row + 1].map((place) => edgeY(grid, place) * scale);
  const rectangle = [left, top, right - left, bottom - top];
  for (const [width, stroke] of [[5, "#000"], [2.5, color]]) {
    pen.lineWidth = width;
    pen.strokeStyle = stroke;
    pen.strokeRect(...rectangle);
  }
}

function drawGrid(pen, grid, scale) {
  pen.strokeStyle = "rgb(255 255 255 / 45%)";
  pen.lineWidth = 1;
  pen.beginPath();
  for (let row = 0; row <= grid.rows; row++) {
    const y = edgeY(grid, row) * scale;
    pen.moveTo(edgeX(grid, 0) * scale, y);
    pen.lineTo(edgeX(grid, grid.columns) * scale, y);
  }
  for (let column = 0; column <= grid.columns; column++) {
    const x = edgeX(grid, column) * scale;
    pen.moveTo(x, edgeY(grid, 0) * scale);
    pen.lineTo(x, edgeY(grid, grid.rows) * scale);
  }
  pen.stroke();
}

// An arrow that can be seen on light and on dark.
function drawArrow(pen, fromX, fromY, toX, toY) {
  const angle = Math.atan2(toY - fromY, toX - fromX);
  const head = Math.min(12, Math.hypot(toX - fromX, toY - fromY) * 0.5);
  pen.lineCap = "round";
  for (const [width, color] of [[4, "#fff"], [1.8, "#000"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.beginPath();
    pen.moveTo(fromX, fromY);
    pen.lineTo(toX, toY);
    for (const side of [-0.45, 0.45]) {
      pen.moveTo(toX, toY);
      pen.lineTo(toX - head * Math.cos(angle + side), toY - head * Math.sin(angle + side));
    }
    pen.stroke();
  }
}

function drawTrack(pen, points, passed, scale) {
  if (!points.length) return;
  for (const [width, color] of [[6, "#000"], [3, "#f0e442"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.beginPath();
    points.forEach(([x, y], place) => (place ? pen.lineTo(x * scale, y * scale) : pen.moveTo(x * scale, y * scale)));
    pen.stroke();
  }
  const [x, y] = points[Math.min(passed, points.length - 1)];
  pen.beginPath();
  pen.arc(x * scale, y * scale, 7, 0, 2 * Math.PI);
  pen.fillStyle = "#f0e442";
  pen.fill();
  pen.strokeStyle = "#000";
  pen.lineWidth = 2;
  pen.stroke();
}

// A table of values as cells, framed and without a colour where the value is NaN; `marked` is the number of the framed cell.
function drawTable(canvas, rows, columns, valueAt, colorOf, marked) {
  const cell = Math.max(8, Math.floor(320 / Math.max(rows, columns)));
  canvas.width = columns * cell;
  canvas.height = rows * cell;
  const pen = canvas.getContext("2d");
  const { ground } = pageColors();
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = valueAt(row, column);
      const [left, top] = [column * cell, row * cell];
      pen.fillStyle = Number.isNaN(value) ? ground : css(colorOf(value));
      pen.fillRect(left, top, cell, cell);
      if (Number.isNaN(value)) {
        pen.strokeStyle = MIDDLE_GREY;
        pen.strokeRect(left + 0.5, top + 0.5, cell - 1, cell - 1);
      }
    }
  }
  for (const [row, column, color] of marked) {
    for (const [width, stroke] of [[5, "#000"], [2.5, color]]) {
      pen.strokeStyle = stroke;
      pen.lineWidth = width;
      pen.strokeRect(column * cell + 2.5, row * cell + 2.5, cell - 5, cell - 5);
    }
  }
}

function drawBar(canvas, table, least, greatest) {
  canvas.width = 320;
  canvas.height = 44;
  const pen = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    pen.fillStyle = css(tableColor(table, x / (canvas.width - 1)));
    pen.fillRect(x, 0, 1, 20);
  }
  pen.fillStyle = pageColors().ink;
  pen.font = "15px system-ui, sans-serif";
  pen.textBaseline = "bottom";
  [[0, "left"], [0.5, "center"], [1, "right"]].forEach(([share, align]) => {
    pen.textAlign = align;
    pen.fillText(written(least + share * (greatest - least)), share * canvas.width, canvas.height);
  });
}

function drawWheel(canvas, wheel, greatest, unit) {
  const [side, radius] = [150, 70];
  canvas.width = 320;
  canvas.height = side;
  const pen = canvas.getContext("2d");
  for (let y = -radius; y < radius; y++) {
    for (let x = -radius; x < radius; x++) {
      if (Math.hypot(x + 0.5, y + 0.5) > radius) continue;
      pen.fillStyle = css(flowColor(wheel, x + 0.5, y + 0.5, radius));
      pen.fillRect(x + side / 2, y + side / 2, 1, 1);
    }
  }
  pen.fillStyle = pageColors().ink;
  pen.font = "15px system-ui, sans-serif";
  pen.fillText("edge of the wheel:", side + 8, side / 2 - 14);
  pen.fillText(`${written(greatest)} pixels`, side + 8, side / 2 + 6);
  pen.fillText(unit.replace(/^pixels /, ""), side + 8, side / 2 + 26);
}
