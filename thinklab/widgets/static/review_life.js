// Whether the keys and the kernel are there: who has the focus, and is anybody listening.

/** Does JupyterLab say that the kernel behind this widget is gone? `changed(alive)` hears of it; returns how to stop. */
export function watchKernel(model, el, changed) {
  const check = () => changed(model.get("alive") !== false && !el.closest(".jupyter-widgets-disconnected"));
  const soon = () => setTimeout(check, 0); // the class is set by another listener of the same event
  model.on("comm_live_update", soon);
  model.on("change:alive", check); // the viewer's model
  const seen = new MutationObserver(check);
  let node = el;
  for (let k = 0; node && k < 3; k++, node = node.parentElement) seen.observe(node, { attributes: true, attributeFilter: ["class"] });
  soon();
  return () => { model.off("comm_live_update", soon); model.off("change:alive", check); seen.disconnect(); };
}

/** Is somebody typing elsewhere? An empty editor, such as the new cell that Shift Enter makes, does not count. */
function busyElsewhere(root) {
  const active = document.activeElement;
  if (!active || active === document.body || root.contains(active) || root.closest(".jp-Cell")?.contains(active)) return false;
  if (active.matches("textarea, input:not([type=checkbox], [type=radio], [type=button]), select")) return active.value !== "" || active.matches("select");
  return active.isContentEditable && active.textContent.trim() !== "";
}

/** Give `root` the focus as soon as it is in the page; `done(taken)`. */
export function takeFocus(root, done) {
  let tries = 0;
  const step = () => {
    if (!root.isConnected || !root.getClientRects().length) { if (++tries < 300) requestAnimationFrame(step); return; }
    const free = !busyElsewhere(root);
    if (free) { root.focus({ preventScroll: true }); root.scrollIntoView({ block: "nearest" }); }
    done(free);
  };
  requestAnimationFrame(step);
}
