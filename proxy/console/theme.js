// Before the first paint: the look that was chosen, if one was.
(() => {
  try {
    const chosen = localStorage.getItem("gnomon-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Without storage, the system's choice is the right one.
  }
})();
