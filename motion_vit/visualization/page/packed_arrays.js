"use strict";
// Arrays as the page holds them: one or two bytes for a value, see motion_vit/visualization/packed_array.py.

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

class PackedArray {
  constructor(packed) {
    this.shape = packed.shape;
    this.codes = packed.bits === 8 ? bytesOf(packed.data) : numbersOf(packed.data, 2, "getUint16");
    this.steps = 2 ** packed.bits - 2;
    this.rowLength = packed.shape[packed.shape.length - 1];
    this.hasRowEnds = typeof packed.least === "string";
    this.least = this.hasRowEnds ? numbersOf(packed.least, 4, "getFloat32") : packed.least;
    this.greatest = this.hasRowEnds ? numbersOf(packed.greatest, 4, "getFloat32") : packed.greatest;
  }

  at(...indices) {
    let place = 0;
    for (let axis = 0; axis < this.shape.length; axis++) place = place * this.shape[axis] + indices[axis];
    const code = this.codes[place];
    if (code === 0) return NaN;
    const row = Math.floor(place / this.rowLength);
    const least = this.hasRowEnds ? this.least[row] : this.least;
    const greatest = this.hasRowEnds ? this.greatest[row] : this.greatest;
    return least + ((code - 1) / this.steps) * (greatest - least);
  }

  // The values along the last axis.
  row(...indices) {
    return Array.from({ length: this.rowLength }, (_, entry) => this.at(...indices, entry));
  }
}

// Little-endian numbers of a few bytes each.
function numbersOf(text, size, read) {
  const view = new DataView(bytesOf(text).buffer);
  return Array.from({ length: view.byteLength / size }, (_, place) => view[read](size * place, true));
}

const unpacked = new WeakMap();

function unpack(packed) {
  if (!unpacked.has(packed)) unpacked.set(packed, new PackedArray(packed));
  return unpacked.get(packed);
}

// Softmax over the entries that are there; the others stay NaN.
function softmax(values) {
  const greatest = Math.max(...values.filter((value) => !Number.isNaN(value)));
  const powers = values.map((value) => Math.exp(value - greatest));
  const sum = powers.reduce((total, power) => (Number.isNaN(power) ? total : total + power), 0);
  return powers.map((power) => power / sum);
}
