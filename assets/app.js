// Comfort only: every page works without this file.
"use strict";
(() => {
  const all = (selector) => document.querySelectorAll(selector);

  for (const button of all("[data-reveal]")) {
    const input = document.getElementById(button.dataset.reveal);
    button.hidden = false;
    button.addEventListener("click", () => {
      const shown = input.type === "password";
      input.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide" : "Show";
      button.setAttribute("aria-pressed", String(shown));
      input.focus();
    });
    input.form.addEventListener("submit", () => { input.type = "password"; });
  }

  for (const button of all("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }

  if (navigator.clipboard) {
    for (const button of all("[data-copy]")) {
      const source = document.getElementById(button.dataset.copy);
      button.hidden = false;
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(source.innerText.trim());
          button.textContent = "Copied";
        } catch {
          button.textContent = "Copying is not allowed here";
        }
      });
    }
  }

  // How long it takes to guess a new password is for the server to say; this only helps on the way.
  const advice = (text, least, name) => {
    const length = [...text].length;
    if (length === 0) return [0, ""];
    if (length < least) return [0, `${least - length} more to go.`];
    const plain = text.toLowerCase();
    if (name.length > 3 && plain.includes(name.toLowerCase())) return [0, "Your name is in it: it will be refused."];
    const different = new Set(plain).size;
    if (different < 5) return [1, "Few different characters: it may be refused."];
    if (/^\d+$/.test(text)) return [1, "Digits alone are soon guessed."];
    if (/^\p{L}+\d*[^\p{L}\d]?$/u.test(text) && length < 15) return [2, "One word is soon guessed. Add another that does not belong to it."];
    if (length < 15) return [3, "Long enough. More words make it stronger."];
    return [4, "Long. Check that you can keep it."];
  };
  for (const box of all("[data-strength]")) {
    const input = document.getElementById(box.dataset.strength);
    const [meter, hint] = [box.querySelector("meter"), box.querySelector("p")];
    box.hidden = false;
    input.addEventListener("input", () => {
      const [value, text] = advice(input.value, Number(box.dataset.least), box.dataset.name);
      meter.value = value;
      hint.textContent = text;
    });
  }

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of all("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent;
      time.textContent = local.format(at);
    }
  }

  // A form is sent once, however often the button is pressed.
  for (const form of all("form")) {
    let sent = false;
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
    });
    window.addEventListener("pageshow", () => { sent = false; });
  }
})();
