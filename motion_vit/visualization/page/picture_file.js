"use strict";
// The picture as a file: the frame with what is laid over it, and beneath it its name and its scale.

const MARGIN = 16;
const LINE = 26;

function wrapped(pen, text, width) {
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function namedPicture() {
  const [frame, legend] = [element("frame"), element("legend")];
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const font = "18px system-ui, sans-serif";
  canvas.width = frame.width + 2 * MARGIN;
  pen.font = font;
  const texts = [content.title, element("caption").textContent, element("legend-text").textContent].filter(Boolean);
  const lines = texts.flatMap((text) => wrapped(pen, text, frame.width));
  const scaleHeight = legend.hidden ? 0 : legend.height + MARGIN;
  canvas.height = frame.height + lines.length * LINE + scaleHeight + 3 * MARGIN;
  const { ink, ground } = pageColors();
  pen.fillStyle = ground;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(frame, MARGIN, MARGIN);
  // A canvas forgets its font where its size changes.
  pen.font = font;
  pen.fillStyle = ink;
  pen.textBaseline = "top";
  lines.forEach((line, number) => pen.fillText(line, MARGIN, frame.height + 2 * MARGIN + number * LINE));
  if (scaleHeight) pen.drawImage(legend, MARGIN, canvas.height - MARGIN - legend.height);
  return canvas;
}

function fileName() {
  const name = `${content.title} ${element("caption").textContent}`.replace(/[^\p{L}\p{N}._]+/gu, "-");
  return `${name.slice(0, 120).replace(/^[-.]+|[-.]+$/g, "")}.png`;
}

function savePicture() {
  namedPicture().toBlob((file) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: fileName() });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
