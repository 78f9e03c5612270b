// Classifies a video with model.onnx as preprocessing.json says. The functions have the names of those in example.py.

// onnxruntime-web: a copy beside this page, or else that of the network. Other bytes than these are refused.
const LOCAL_RUNTIME = "onnxruntime-web/";
const RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/";
const RUNTIME_FILES = {
  "ort.wasm.bundle.min.mjs": "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
  "ort-wasm-simd-threaded.wasm": "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
};
const SHOWN_CLASSES = 5;
const LONGEST_WAIT = 500; // milliseconds

const say = (text) => { document.getElementById("status").textContent = text; };

// Python's round: halves to the even number.
function round(x) {
  const below = Math.floor(x);
  if (x - below === 0.5) return below % 2 === 0 ? below : below + 1;
  return Math.round(x);
}

// The frames of clip number `clip` of `clips`, of a video of `count` frames with `rate` of them a second.
export function chooseFrames(count, rate, options, clip, clips) {
  const { frames, fps, stride, sampling } = options;
  const n = fps ? Math.max(1, round(count / rate * fps)) : count;
  const numbers = [...Array(frames).keys()];
  let ticks;
  if (sampling === "segment") {
    const segment = (n - 1) / frames;
    const shift = Math.trunc(segment / (clips + 1) * (clip + 1));
    ticks = numbers.map((i) => Math.min(round(segment * i) + shift, n - 1));
  } else {
    const slack = Math.max(0, n - ((frames - 1) * stride + 1));
    const start = clips === 1 ? Math.floor(slack / 2) : round(slack * clip / (clips - 1));
    ticks = numbers.map((i) => Math.min(start + stride * i, n - 1));
  }
  return fps ? ticks.map((tick) => nearestFrame(tick / fps, count, rate, options.equally_near)) : ticks;
}

function nearestFrame(moment, count, rate, equallyNear) {
  const after = Math.min(Math.ceil(moment * rate), count - 1);
  const before = Math.max(after - 1, 0);
  return after / rate - moment < moment - before / rate - equallyNear ? after : before;
}

// The weights of the pixels that make each of `target` pixels of `source` ones: a triangle, widened to scale down.
function triangles(source, target) {
  const scale = source / target, width = Math.max(1, scale);
  return [...Array(target).keys()].map((at) => {
    const center = (at + 0.5) * scale - 0.5, taps = [];
    for (let pixel = Math.ceil(center - width); pixel <= Math.floor(center + width); pixel++) {
      const weight = 1 - Math.abs(pixel - center) / width;
      if (weight > 0) taps.push([Math.min(Math.max(pixel, 0), source - 1), weight]);
    }
    const total = taps.reduce((sum, [, weight]) => sum + weight, 0);
    return taps.map(([pixel, weight]) => [pixel, weight / total]);
  });
}

// Resizes RGBA to RGB of `width` x `height`, bilinearly.
export function resize(data, sourceWidth, sourceHeight, width, height) {
  const columns = triangles(sourceWidth, width), rows = triangles(sourceHeight, height);
  const narrow = new Float32Array(sourceHeight * width * 3);
  for (let y = 0; y < sourceHeight; y++) for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (const [pixel, weight] of columns[x]) sum += weight * data[(y * sourceWidth + pixel) * 4 + c];
    narrow[(y * width + x) * 3 + c] = sum;
  }
  const rgb = new Uint8ClampedArray(height * width * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width * 3; x++) {
    let sum = 0;
    for (const [pixel, weight] of rows[y]) sum += weight * narrow[pixel * width * 3 + x];
    rgb[y * width * 3 + x] = sum;
  }
  return rgb;
}

async function openVideo(file) {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error("this browser cannot play it; convert it to H.264 mp4 or VP9 webm"));
  });
  if (!Number.isFinite(video.duration)) throw new Error("its duration is not known to the browser");
  return video;
}

// Shows the frame at a moment; returns when it begins, in seconds. Seeking ends before the frame is there to be drawn.
async function seek(video, seconds) {
  const sought = new Promise((resolve) => { video.onseeked = resolve; });
  const shown = new Promise((resolve) => { video.requestVideoFrameCallback(resolve); });
  video.currentTime = Math.min(Math.max(seconds, 0), video.duration);
  await sought;
  await Promise.race([shown, new Promise((resolve) => { setTimeout(resolve, LONGEST_WAIT); })]);
  const frame = new VideoFrame(video);
  const begins = frame.timestamp / 1e6;
  frame.close();
  return begins;
}

// Finds the first frame's time, the frame rate and the number of frames, by seeking further and further ahead.
async function frameTimes(video) {
  const first = await seek(video, 0);
  const last = await seek(video, video.duration);
  if (last <= first) return { first, rate: 1, count: 1 };
  let next = first;
  for (let step = 1 / 480; next <= first; step *= 1.25) next = await seek(video, Math.min(first + step, last));
  let gap = next - first, ahead = 1;
  while (first + 2 * ahead * gap < last) {
    ahead *= 2;
    const begins = await seek(video, first + (ahead + 0.5) * gap);
    gap = (begins - first) / Math.max(1, Math.round((begins - first) / gap));
  }
  const count = Math.round((last - first) / gap) + 1;
  return { first, rate: (count - 1) / (last - first), count };
}

// The picture of a frame, scaled to its shorter side `size`: RGB and its width and height.
async function readPicture(video, moment, size) {
  await seek(video, moment);
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(video, 0, 0);
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  const [w, h] = [canvas.width, canvas.height];
  const width = w < h ? size : Math.floor(size * w / h), height = h <= w ? size : Math.floor(size * h / w);
  return { rgb: resize(data, w, h, width, height), width, height };
}

function crop(picture, size, place) {
  const { rgb, width, height } = picture;
  const top = Math.ceil((height - size) * (height > width ? place : 0.5));
  const left = Math.ceil((width - size) * (height > width ? 0.5 : place));
  const square = new Uint8Array(size * size * 3);
  for (let y = 0; y < size; y++) {
    const start = ((top + y) * width + left) * 3;
    square.set(rgb.subarray(start, start + size * 3), y * size * 3);
  }
  return square;
}

// The views of a video, each as the squares of its frames.
async function readViews(video, description) {
  const { first, rate, count } = await frameTimes(video);
  const { clips } = description.views, { size, places } = description.crop;
  const pictures = new Map(), views = [];
  for (let clip = 0; clip < clips; clip++) {
    const frames = chooseFrames(count, rate, description.frames, clip, clips);
    for (const frame of frames) if (!pictures.has(frame)) {
      pictures.set(frame, await readPicture(video, first + (frame + 0.5) / rate, size));
    }
    for (const place of places) views.push(frames.map((frame) => crop(pictures.get(frame), size, place)));
  }
  return { views, rate, count };
}

// The values of a view, as the model takes them.
function inputsOf(view, description) {
  const { mean, std, channel_order: order } = description.normalisation;
  const length = view[0].length, plain = !description.input.normalised;
  const values = plain ? new Uint8Array(view.length * length) : new Float32Array(view.length * length);
  view.forEach((square, frame) => square.forEach((pixel, at) => {
    const color = at % 3, place = order === "bgr" && !plain ? at - color + 2 - color : at;
    values[frame * length + place] = plain ? pixel : (pixel / 255 - mean[color]) / std[color];
  }));
  return values;
}

// What makes evidence of a logit, of models that were trained with it.
const EVIDENCE = {
  exp: (logit) => Math.exp(Math.min(Math.max(logit, -10), 10)),
  relu: (logit) => Math.max(logit, 0),
  softplus: (logit) => Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))),
};

function shares(values) {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => value / total);
}

function softmax(logits) {
  const most = Math.max(...logits);
  return shares(logits.map((logit) => Math.exp(logit - most)));
}

async function classify(views, { ort, session, description }) {
  const { name, shape, dtype } = description.input, batch = shape[0] ?? 1;
  const logits = Array(description.label_names.length).fill(0);
  for (let start = 0; start < views.length; start += batch) {
    const part = views.slice(start, start + batch), inputs = part.map((view) => inputsOf(view, description));
    const values = new inputs[0].constructor(batch * inputs[0].length);
    inputs.forEach((input, at) => values.set(input, at * input.length));
    const results = await session.run({ [name]: new ort.Tensor(dtype, values, [batch, ...shape.slice(1)]) });
    const outputs = results[description.output.name].data;
    part.forEach((_, at) => logits.forEach((_, label) => {
      const output = outputs[at * logits.length + label];
      logits[label] += description.output.name === "logits" ? output : Math.log(Math.max(output, 1.2e-38));
    }));
  }
  const means = logits.map((sum) => sum / views.length), evidence = EVIDENCE[description.probabilities.evidence];
  return evidence ? shares(means.map((logit) => 1 + evidence(logit))) : softmax(means);
}

function showClasses(probabilities, labels) {
  const ranking = probabilities.map((_, label) => label).sort((a, b) => probabilities[b] - probabilities[a]);
  document.getElementById("classes").replaceChildren(...ranking.slice(0, SHOWN_CLASSES).map((label) => {
    const row = document.createElement("tr"), bar = document.createElement("meter");
    bar.value = probabilities[label];
    row.insertCell().textContent = labels[label];
    row.insertCell().textContent = `${(100 * probabilities[label]).toFixed(1)} %`;
    row.insertCell().append(bar);
    return row;
  }));
}

function showFrames(view, size) {
  document.getElementById("frames").replaceChildren(...view.map((square) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    const image = new ImageData(size, size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      image.data.set([...square.subarray(pixel * 3, pixel * 3 + 3), 255], pixel * 4);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }));
}

async function look(file, model) {
  delete document.body.dataset.done;
  for (const id of ["classes", "frames"]) document.getElementById(id).replaceChildren();
  say(`Reading ${file.name}…`);
  try {
    const video = await openVideo(file);
    const { views, rate, count } = await readViews(video, model.description);
    URL.revokeObjectURL(video.src);
    showFrames(views[0], model.description.crop.size);
    say("Classifying…");
    const start = performance.now();
    const probabilities = await classify(views, model);
    showClasses(probabilities, model.description.label_names);
    const seconds = (performance.now() - start) / 1000;
    say(`${file.name}: ${count} frames, ${rate.toFixed(2)} a second; ${views.length} views in ${seconds.toFixed(2)} s.`);
    document.body.dataset.done = JSON.stringify(probabilities);
  } catch (error) {
    say(`${file.name} is not classified: ${error.message}`);
  }
}

// A file of the export, or an error that says what to do.
async function readFile(name) {
  const response = await fetch(name).catch(() => null);
  if (response?.ok) return response;
  throw new Error(`${name} cannot be read beside this page${response ? ` (status ${response.status})` : ""}. `
    + "Serve the whole folder of the export with `python -m http.server`, and open http://localhost:8000");
}

// The files of the runtime. The browser compares their bytes with the checksums before anything of them runs.
async function readRuntime() {
  const names = Object.keys(RUNTIME_FILES);
  const copied = await Promise.all(names.map((name) => fetch(LOCAL_RUNTIME + name, { method: "HEAD" })));
  const source = copied.every((response) => response.ok) ? LOCAL_RUNTIME : RUNTIME;
  return Promise.all(names.map(async (name) => {
    const response = await fetch(source + name, { integrity: RUNTIME_FILES[name] }).catch(() => {
      throw new Error(`${source}${name} cannot be read, or is not the file of onnxruntime-web that this page expects. `
        + `Without a network, put ${names.join(" and ")} from ${RUNTIME} into the folder ${LOCAL_RUNTIME} beside this page`);
    });
    return response.arrayBuffer();
  }));
}

async function load() {
  const description = await (await readFile("preprocessing.json")).json();
  const weights = new Uint8Array(await (await readFile("model.onnx")).arrayBuffer());
  const [script, program] = await readRuntime();
  const ort = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  ort.env.wasm.wasmBinary = program;
  ort.env.wasm.numThreads = 1;
  return { ort, description, session: await ort.InferenceSession.create(weights) };
}

const drop = document.getElementById("drop"), input = document.getElementById("file");
const model = load();
model.then(() => {
  say("Ready.");
  document.body.dataset.ready = "";
}, (error) => say(`The model cannot be loaded: ${error.message}.`));

// One after the other, and none before the model is there.
let work = model.catch(() => null);
const take = (file) => { if (file) work = work.then(async (loaded) => { if (loaded) await look(file, loaded); return loaded; }); };
input.onchange = () => { take(input.files[0]); input.value = ""; };
// Everywhere on the page: where nothing takes a dropped file, the browser leaves the page and opens the file.
window.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
window.addEventListener("dragleave", () => drop.classList.remove("over"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
