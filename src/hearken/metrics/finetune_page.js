"use strict";
(() => {
  // One sound at a time. Within an example the other sound goes on where this one was.
  const SHAPES = { true: "M8 5l11 7-11 7z", false: "M7 5h4v14H7zM13 5h4v14h-4z" };
  let last = null;
  for (const side of document.querySelectorAll(".side")) {
    const sound = side.querySelector("audio");
    if (!sound) continue;
    const spec = side.querySelector(".spec"), head = side.querySelector("i");
    const button = side.querySelector(".play"), name = button.getAttribute("aria-label");
    const draw = () => {
      spec.classList.toggle("live", last === sound);
      head.style.left = `${(100 * sound.currentTime) / (sound.duration || 1)}%`;
      button.querySelector("path").setAttribute("d", SHAPES[sound.paused]);
      button.setAttribute("aria-label", sound.paused ? name : name.replace("play", "pause"));
      if (!sound.paused) requestAnimationFrame(draw);
    };
    const start = (at) => {
      const other = last;
      last = sound;
      if (other && other !== sound) {
        const near = other.closest("section") === sound.closest("section");
        if (at === null && near && !other.ended) at = other.currentTime;
        other.pause();
        other.dispatchEvent(new Event("pause"));
      }
      if (at !== null) sound.currentTime = at;
      sound.play().catch(draw);
    };
    button.addEventListener("click", () => (sound.paused ? start(null) : sound.pause()));
    spec.querySelector("img").addEventListener("click", (event) => {
      const box = spec.getBoundingClientRect();
      start(((event.clientX - box.left) / box.width) * (sound.duration || 0));
    });
    ["play", "pause", "ended", "seeked"].forEach((e) => sound.addEventListener(e, draw));
    sound.removeAttribute("controls");
    button.hidden = false;
  }
})();
