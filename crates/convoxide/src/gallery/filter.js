// Shows the pictures and results of a class, from a score upwards.
"use strict";
const form = document.querySelector(".filters");
const cards = [...document.querySelectorAll(".card")];

function filter() {
  const { class: chosen, score, kind } = form.elements;
  const least = Number(score.value) / 100;
  const fits = (result) =>
    (chosen.value === "" || result.dataset.class === chosen.value) &&
    Number(result.dataset.score) >= least;
  const filtered = chosen.value !== "" || least > 0;
  let shown = 0;
  for (const card of cards) {
    let any = !filtered;
    for (const result of card.querySelectorAll("[data-class]")) {
      const fit = fits(result);
      result.classList.toggle("faint", !fit);
      any ||= fit;
    }
    const isKind = !kind || kind.value === "" || card.dataset.kind === kind.value;
    card.hidden = !(any && isKind);
    shown += card.hidden ? 0 : 1;
  }
  form.querySelector(".least").textContent = `${score.value}\u00a0%`;
  form.querySelector("output").textContent = `${shown} of ${cards.length} shown`;
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
// A browser may keep the controls' values when a page is loaded again.
filter();
