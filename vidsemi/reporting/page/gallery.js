
// Rows of previews: search, and a pause, since they move for ever.

for (const gallery of document.querySelectorAll(".gallery")) {
  const [input, found, pause] = ["input", "[role=status]", ".pause"].map((name) => gallery.querySelector(name));
  const strips = [...gallery.querySelectorAll(".strip")];
  const named = strips.filter((strip) => strip.dataset.name !== "");
  const cards = [...gallery.querySelectorAll(".strip[data-name=''] .card")];
  const has = (text, words) => text.toLowerCase().includes(words);
  input.addEventListener("input", () => {
    const words = input.value.trim().toLowerCase();
    for (const strip of named) strip.hidden = !has(strip.dataset.name, words);
    for (const card of cards) card.hidden = !has(card.textContent, words);
    const items = [...named, ...cards];
    found.textContent = words && `${items.filter((item) => !item.hidden).length} of ${items.length}`;
  });

  const pictures = [...gallery.querySelectorAll("img.preview")];
  const paused = () => pause.getAttribute("aria-pressed") === "true";
  const show = (picture) => {
    const still = picture.nextElementSibling;
    if (still) still.hidden = !paused();
    picture.hidden = paused() && Boolean(still);
    if (!paused() || still || !picture.naturalWidth) return;
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: picture.naturalWidth, height: picture.naturalHeight, className: "preview", role: "img", ariaLabel: picture.alt });
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.after(canvas);
    picture.hidden = true;
  };
  const set = (value) => {
    pause.setAttribute("aria-pressed", value);
    pause.textContent = value ? "Play previews" : "Pause previews";
    pictures.forEach(show);
  };
  for (const picture of pictures) picture.addEventListener("load", () => show(picture));
  pause.addEventListener("click", () => set(!paused()));
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) set(true);
}
