"use strict";
// Light and dark colours: those of the system until the switch is used.

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark.matches;
}

// The colours of the page for canvases, which know no style sheet.
function pageColors() {
  const style = getComputedStyle(document.body);
  return { ink: style.color, ground: style.backgroundColor };
}

function showTheme() {
  document.getElementById("theme").setAttribute("aria-pressed", String(isDark()));
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
}
