"use strict";
(() => {
  const sounds = [...document.querySelectorAll("audio")];
  const player = document.querySelector(".player");
  if (!player || !sounds.length) return;
  const one = (id) => document.getElementById(id);
  const play = one("play"), seek = one("seek"), clock = one("clock"), face = one("face");
  const sides = [...document.querySelectorAll(".side")];
  const specs = [...document.querySelectorAll(".spec")];
  let now = 0;

  const seconds = () => Number(specs[now].dataset.seconds);
  const hearing = (spec) => Number(spec.dataset.side) === now;
  const SHAPES = { true: "M7 4l13 8-13 8z", false: "M6 4h4v16H6zM14 4h4v16h-4z" };

  function draw() {
    const at = sounds[now].currentTime;
    for (const spec of specs) {
      spec.classList.toggle("live-side", hearing(spec));
      spec.querySelector(".head").style.left = `${(100 * at) / seconds()}%`;
    }
    seek.value = Math.round((1000 * at) / seconds());
    seek.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds`);
    clock.textContent = `${at.toFixed(1)} / ${seconds().toFixed(1)} s`;
    one("icon").setAttribute("d", SHAPES[sounds[now].paused]);
    play.setAttribute("aria-label", sounds[now].paused ? "play" : "pause");
    if (face && Math.abs(face.currentTime - at) > (sounds[now].paused ? 0.02 : 0.15)) {
      face.currentTime = Math.min(at, face.duration || at);
    }
  }

  function follow() {
    draw();
    if (!sounds[now].paused) requestAnimationFrame(follow);
  }

  function toggle(on = sounds[now].paused) {
    if (on) {
      if (sounds[now].ended) sounds[now].currentTime = 0;
      sounds[now].play().then(() => {
        if (face) face.play().catch(() => {});
        follow();
      }).catch(draw);
    } else {
      sounds[now].pause();
      if (face) face.pause();
      draw();
    }
  }

  function choose(side) {
    if (side === now || !sounds[side]) return;
    const playing = !sounds[now].paused;
    sounds[now].pause();
    sounds[side].currentTime = sounds[now].currentTime;
    now = side;
    sides.forEach((b, i) => b.setAttribute("aria-pressed", String(i === now)));
    if (playing) toggle(true);
    else draw();
  }

  function goTo(at) {
    sounds[now].currentTime = Math.max(0, Math.min(at, seconds() - 0.01));
    draw();
  }

  play.addEventListener("click", () => toggle());
  seek.addEventListener("input", () => goTo((seek.value / 1000) * seconds()));
  sides.forEach((b) => b.addEventListener("click", () => choose(Number(b.dataset.side))));
  specs.forEach((spec) => spec.addEventListener("click", (event) => {
    const box = spec.getBoundingClientRect();
    choose(Number(spec.dataset.side));
    goTo(((event.clientX - box.left) / box.width) * seconds());
  }));
  document.querySelectorAll(".bar").forEach((bar) => {
    const hear = () => {
      choose(Number(bar.closest(".hearing").querySelector(".spec").dataset.side));
      goTo(Number(bar.dataset.start));
      toggle(true);
    };
    bar.addEventListener("click", hear);
    bar.addEventListener("keydown", (event) => { if (event.key === "Enter") hear(); });
  });
  sounds.forEach((s) => ["ended", "pause", "loadedmetadata"].forEach((e) => s.addEventListener(e, () => {
    if (e === "ended" && face) face.pause();
    draw();
  })));
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("button, input, summary, .bar") || event.metaKey || event.ctrlKey) return;
    if (event.key === " ") { event.preventDefault(); toggle(); }
    if (event.key === "b" && sounds.length > 1) choose(1 - now);
  });
  sounds.forEach((s) => s.removeAttribute("controls"));
  player.classList.add("live");
  player.querySelector(".controls").hidden = false;
  draw();
})();
