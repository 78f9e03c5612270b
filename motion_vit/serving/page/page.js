
"use strict";

const element = (id) => document.getElementById(id);
const LONGEST = 300;
let chosen = null;
let request = null;
let shownVideo = null;

// Characters that cannot be seen, or turn the direction of a line, are written as escapes.
function visible(text) {
  const short = text.length > LONGEST ? text.slice(0, LONGEST) + "..." : text;
  return short.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (sign) => "\\u{" + sign.codePointAt(0).toString(16) + "}");
}

function say(status, error = "") {
  element("status").textContent = visible(status);
  element("error").textContent = visible(error);
  element("error").hidden = !error;
}

function addAnswer(label, probability, time = "") {
  const item = document.createElement("li");
  const line = document.createElement("div");
  const name = document.createElement("span");
  const share = document.createElement("span");
  const bar = document.createElement("progress");
  line.className = "line";
  name.className = "label";
  share.className = "share";
  name.textContent = visible(label);
  share.textContent = time + (100 * probability).toFixed(1) + " %";
  bar.max = 1;
  bar.value = probability;
  bar.setAttribute("aria-label", visible(label));
  line.append(name, share);
  item.append(line, bar);
  element("answers").append(item);
}

function show(entry) {
  for (const one of entry.predictions ?? []) addAnswer(one.label, one.probability);
  for (const one of entry.segments ?? []) {
    addAnswer(one.label, one.probability, one.start.toFixed(2) + " to " + one.end.toFixed(2) + " s, ");
  }
  element("note").textContent = visible(entry.note ?? "");
  return (entry.predictions ?? entry.segments ?? []).length;
}

async function ask() {
  if (!chosen) return;
  request?.abort();
  const own = (request = new AbortController());
  const form = new FormData();
  // Fields first: what is wrong with them is told before the video has come.
  if (element("window").value) form.append("window", element("window").value);
  else if (element("top").value) form.append("top", element("top").value);
  form.append("video", chosen, chosen.name);
  element("answers").replaceChildren();
  element("note").textContent = "";
  element("again").disabled = false;
  say("Asking about " + chosen.name + " ...");
  const begun = performance.now();
  try {
    const response = await fetch("predict", { method: "POST", body: form, signal: own.signal });
    const said = await response.json();
    if (own !== request) return;
    const entry = (response.ok ? said : said.answers ?? [])[0] ?? {};
    const found = show(entry);
    const seconds = ((performance.now() - begun) / 1000).toFixed(2);
    if (!response.ok) say(chosen.name, said.error ?? "The server answered with the status " + response.status + ".");
    else if (!found) say(chosen.name + ": no label is probable enough anywhere (" + seconds + " s)");
    else say(chosen.name + " (" + seconds + " s)");
  } catch (error) {
    if (own !== request || error.name === "AbortError") return;
    say(chosen.name, "The server cannot be reached, or sent no answer.");
  }
}

function choose(file) {
  if (!file) return;
  chosen = file;
  if (shownVideo) URL.revokeObjectURL(shownVideo);
  shownVideo = URL.createObjectURL(file);
  const video = element("video");
  video.hidden = true;
  video.onloadeddata = () => { video.hidden = false; };
  video.src = shownVideo;
  ask();
}

const drop = element("drop");
element("file").addEventListener("change", (event) => choose(event.target.files[0]));
element("again").addEventListener("click", ask);
for (const id of ["top", "window"]) element(id).addEventListener("keydown", (event) => { if (event.key === "Enter") ask(); });
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files[0]); });
document.body.dataset.ready = "";
