"""`/docs`: a page that reads `openapi.json` and can ask. It needs no other host, so it works without the internet."""

PAGE = r"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Flagrank API</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2f6fb5 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .75rem 0; padding: .5rem .75rem }
summary { cursor: pointer; font-weight: 600 }
label { display: grid; grid-template-columns: 9rem 1fr; gap: .5rem; margin: .4rem 0; align-items: start }
label small { grid-column: 2; opacity: .75; overflow-wrap: anywhere }
input, textarea { font: inherit; padding: .25rem .4rem; width: 100%; box-sizing: border-box }
textarea { min-height: 6rem; font-family: ui-monospace, monospace }
summary + p { margin-top: .5rem }
button { font: inherit; padding: .3rem .9rem; border: 0; border-radius: .3rem; background: var(--accent); color: #fff }
pre { background: var(--soft); padding: .6rem; overflow: auto; border-radius: .3rem }
@media (max-width: 600px) { label { grid-template-columns: 1fr } label small { grid-column: 1 } }
</style></head><body>
<h1>Flagrank API</h1><p id="about"></p><p>The contract: <a href="openapi.json">openapi.json</a></p>
<main id="routes"></main>
<script>
"use strict";
const make = (tag, text, into) => {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (into) into.append(made);
  return made;
};
const shown = (value) => JSON.stringify(value, null, 2);
const field = (form, name, note, kind, value) => {
  const label = make("label", name, form), input = make(kind, "", label);
  input.name = name; input.value = value || "";
  if (note) make("small", note, label);
  return input;
};
const ask = async (method, path, form, answer) => {
  const request = {method}, address = new URL("." + path, location.href);
  for (const input of form.querySelectorAll("input"))
    if (input.value) address.searchParams.set(input.name, input.value);
  const body = form.querySelector("textarea");
  if (body) Object.assign(request, {body: body.value, headers: {"content-type": "application/json"}});
  try {
    const got = await fetch(address, request), text = await got.text();
    let read = text;
    try { read = shown(JSON.parse(text)); } catch { /* shown as it is */ }
    answer.textContent = got.status + " " + got.statusText + "\n" + read;
  } catch (error) { answer.textContent = String(error); }
};
const route = (path, method, operation, into) => {
  const box = make("details", "", into), form = document.createElement("form");
  make("summary", method.toUpperCase() + " " + path, box);
  make("p", operation.description, box);
  box.append(form);
  for (const entry of operation.parameters || [])
    field(form, entry.name, entry.description || entry.schema.description || "", "input", entry.example);
  const body = ((operation.requestBody || {}).content || {})["application/json"];
  if (body) field(form, "body", "", "textarea", shown(Object.values(body.examples || {})[0]?.value || {}));
  make("button", "Ask", form);
  const answer = make("pre", "", box);
  answer.setAttribute("aria-live", "polite");
  form.onsubmit = (event) => { event.preventDefault(); ask(method.toUpperCase(), path, form, answer); };
  for (const [status, reply] of Object.entries(operation.responses)) {
    const example = Object.values(reply.content || {})[0]?.example;
    make("p", status + ": " + reply.description, box);
    if (example) make("pre", shown(example), box);
  }
};
fetch("openapi.json").then((got) => got.json()).then((contract) => {
  document.getElementById("about").textContent = contract.info.description;
  for (const [path, methods] of Object.entries(contract.paths))
    for (const [method, operation] of Object.entries(methods))
      route(path, method, operation, document.getElementById("routes"));
});
</script></body></html>
"""
