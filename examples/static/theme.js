// The button in the header goes round automatic, light and dark, and remembers the choice.
const themes = ["", "light", "dark"];
const button = document.getElementById("theme");

function show(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  if (button) button.textContent = `Theme: ${theme || "auto"}`;
}

let theme = localStorage.getItem("theme") || "";
show(theme);
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    localStorage.setItem("theme", theme);
    show(theme);
  });
}
