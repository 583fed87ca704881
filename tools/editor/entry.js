// What thinklab takes from CodeMirror 6; `python tools/make_editor.py` bundles it into thinklab/widgets/static/codemirror.js.
export { EditorView, basicSetup } from "codemirror";
export { Annotation, Compartment, EditorState } from "@codemirror/state";
export { keymap } from "@codemirror/view";
export { indentWithTab } from "@codemirror/commands";
export { yaml } from "@codemirror/lang-yaml";
export { lintGutter, setDiagnostics } from "@codemirror/lint";
export { openSearchPanel, search } from "@codemirror/search";
export { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
export { tags } from "@lezer/highlight";
