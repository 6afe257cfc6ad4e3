"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = window.localStorage.getItem("soce-report-theme"); } catch { /* a page from a disk may have no storage */ }
  const show = () => {
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
    const isDark = chosen === null ? dark.matches : chosen === "dark";
    button.setAttribute("aria-pressed", String(isDark));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    chosen = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    try { window.localStorage.setItem("soce-report-theme", chosen); } catch { /* then only this page knows */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
  // A region that does not scroll is no stop for the keyboard.
  const stops = () => {
    for (const region of document.querySelectorAll(".scroll, pre")) {
      const scrolls = region.scrollWidth > region.clientWidth + 1;
      region.tabIndex = scrolls ? 0 : -1;
    }
  };
  stops();
  window.addEventListener("resize", stops);
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", stops);
  // Paper cannot be clicked.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
})();
