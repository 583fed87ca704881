import { codemirror } from "thinklab/codemirror.js";

// The editor of the behavior studio: YAML in colors, line numbers, wrap, find and replace, folding, undo, and lint where it is.

const { EditorView, EditorState, Compartment, keymap, tags } = codemirror;
const COLORS = codemirror.HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--tl-accent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--tl-good)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.atom], color: "var(--tl-focus)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--tl-soft)", fontStyle: "italic" },
  { tag: [tags.separator, tags.punctuation, tags.squareBracket, tags.brace, tags.meta], color: "var(--tl-warn)" },
]);
const LOOK = EditorView.theme({
  "&": { height: "100%", color: "var(--tl-ink)", backgroundColor: "var(--tl-paper)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { font: "13px/20px var(--tl-mono)", overflow: "auto" },
  ".cm-content": { caretColor: "var(--tl-ink)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--tl-ink)" },
  ".cm-gutters": { backgroundColor: "var(--tl-card)", color: "var(--tl-soft)", borderRight: "1px solid var(--tl-line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--tl-focus) 9%, transparent)" },
  ".cm-activeLineGutter": { color: "var(--tl-ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "color-mix(in srgb, var(--tl-focus) 30%, transparent) !important" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--tl-mark)", color: "var(--tl-ink)" },
  ".cm-selectionMatch": { backgroundColor: "color-mix(in srgb, var(--tl-focus) 16%, transparent)" },
  ".cm-searchMatch": { backgroundColor: "var(--tl-mark)", outline: "1px solid var(--tl-edge)" },
  ".cm-searchMatch *, .cm-searchMatch": { color: "var(--tl-ink)" },
  ".cm-searchMatch-selected": { outline: "2px solid var(--tl-focus)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--tl-card)", color: "var(--tl-ink)", border: "1px solid var(--tl-edge)" },
  ".cm-panels": { backgroundColor: "var(--tl-card)", color: "var(--tl-ink)", borderBottom: "1px solid var(--tl-line)" },
  ".cm-panel.cm-search": { padding: "8px 30px 8px 10px", font: "13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif)" },
  ".cm-panel.cm-search label": { fontSize: "13px" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button": {
    font: "inherit", color: "var(--tl-ink)", background: "var(--tl-paper)", border: "1px solid var(--tl-edge)", borderRadius: "6px",
    padding: "2px 8px", margin: "2px 6px 2px 0", display: "inline-block" },
  ".cm-panel.cm-search button[name=close]": { border: "none", background: "transparent", margin: "0", fontSize: "18px", right: "6px", top: "4px" },
  ".cm-tooltip": { backgroundColor: "var(--tl-paper)", color: "var(--tl-ink)", border: "1px solid var(--tl-edge)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--tl-accent)", color: "var(--tl-on-accent)" },
  ".cm-diagnostic": { font: "13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif)", maxWidth: "440px" },
});

/** An editor in `parent`. `changed` hears of every change; the object reads and writes the text and shows findings. */
export function makeEditor(parent, text, changed) {
  const wrap = new Compartment();
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        codemirror.basicSetup, codemirror.yaml(), keymap.of([codemirror.indentWithTab]), codemirror.search({ top: true }),
        codemirror.lintGutter(), codemirror.syntaxHighlighting(COLORS), LOOK, wrap.of(EditorView.lineWrapping),
        EditorView.contentAttributes.of({ class: "tl-yaml", "aria-label": "behavior file, YAML", spellcheck: "false" }),
        EditorView.updateListener.of(update => { if (update.docChanged) changed(); }),
      ],
    }),
  });
  const place = (line, column) => {
    const at = view.state.doc.line(Math.min(Math.max(line, 1), view.state.doc.lines));
    return [Math.min(at.from + Math.max(0, column - 1), at.to), at.to];
  };
  return {
    get text() { return view.state.doc.toString(); },
    /** Only what differs is replaced, so that undo, the selection and the scroll position survive. */
    set text(now) {
      const before = view.state.doc.toString();
      let from = 0, end = 0;
      const most = Math.min(before.length, now.length);
      while (from < most && before[from] === now[from]) from++;
      while (end < most - from && before[before.length - 1 - end] === now[now.length - 1 - end]) end++;
      const insert = now.slice(from, now.length - end);
      view.dispatch({ changes: { from, to: before.length - end, insert }, selection: { anchor: from + insert.length },
        effects: EditorView.scrollIntoView(from, { y: "center" }) });
    },
    wrap(on) { view.dispatch({ effects: wrap.reconfigure(on ? EditorView.lineWrapping : []) }); },
    find() { codemirror.openSearchPanel(view); },
    show(findings) {
      const diagnostics = findings.filter(f => f.line).map(f => {
        const [from, to] = place(f.line, f.column);
        return { from, to, severity: f.level === "error" ? "error" : "warning", message: f.message };
      });
      view.dispatch(codemirror.setDiagnostics(view.state, diagnostics.sort((a, b) => a.from - b.from)));
    },
    goTo(line, column) {
      const [from] = place(line, column);
      view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
      view.focus();
    },
    destroy() { view.destroy(); },
  };
}
