// Keeps the live part of the page fresh. Everything works without it: each page is whole when it is loaded.
"use strict";
const live = document.getElementById("live");

async function refresh() {
  if (document.hidden) return;
  let text;
  try {
    const answer = await fetch(live.dataset.source);
    if (!answer.ok) throw new Error(await answer.text());
    text = await answer.text();
  } catch (error) {
    live.classList.add("stale");
    document.title = "No answer · Flagrank";
    let told = document.getElementById("gone");
    if (!told) {
      told = document.createElement("p");
      told.id = "gone";
      told.className = "problem";
      told.setAttribute("role", "alert");
      live.before(told);
      told.textContent = "The console does not answer: what is below is old. Is `flagrank console` still running?";
    }
    return;
  }
  document.getElementById("gone")?.remove();
  document.title = "Rollout · Flagrank";
  // a reader who has selected text, or is on a link in here, is not disturbed
  if (live.contains(document.activeElement) || (String(getSelection()) && live.contains(getSelection().anchorNode))) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
  live.replaceChildren(...fresh.body.childNodes);
}

if (live) setInterval(refresh, Number(live.dataset.everyMs));
