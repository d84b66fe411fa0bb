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
    if (name.length > 3 && plain.includes(name.toLowerCase())) return [0, "It contains your name, so it won't be accepted."];
    const different = new Set(plain).size;
    if (different < 5) return [1, "Too few different characters: it may not be accepted."];
    if (/^\d+$/.test(text)) return [1, "Digits alone are easy to guess."];
    if (/^\p{L}+\d*[^\p{L}\d]?$/u.test(text) && length < 15) return [2, "A single word is easy to guess. Add an unrelated one."];
    if (length < 15) return [3, "Long enough. More words make it stronger."];
    return [4, "Strong. Make sure you can remember it."];
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
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
  for (const time of all("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent;
      time.textContent = ("clock" in time.dataset ? clock : local).format(at);
    }
  }

  // Waits count down. Without script the sentence stays as it is: it says how long from the start.
  const inWords = (seconds) => {
    const [count, unit] = seconds <= 90 ? [seconds, "second"]
      : seconds <= 5400 ? [Math.ceil(seconds / 60), "minute"]
      : [Math.ceil(seconds / 3600), "hour"];
    return `${count} ${unit}${count === 1 ? "" : "s"}`;
  };
  for (const said of all("[data-wait]")) {
    const until = Date.now() + 1000 * Number(said.dataset.wait);
    const sentence = said.textContent;
    const timer = setInterval(() => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) {
        // Screen readers have read it once; they are told again when the wait is over.
        said.removeAttribute("role");
        said.textContent = sentence.replace(/\d+ (second|minute|hour)s?/, inWords(left));
      } else {
        clearInterval(timer);
        said.setAttribute("role", "status");
        said.textContent = "You can try again now.";
      }
    }, 1000);
  }

  // The server groups events by the day in UTC; the day here may be another.
  const dayOf = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
  for (const box of all("[data-days]")) {
    const lines = [...box.querySelectorAll("li")];
    let [day, list] = ["", null];
    box.replaceChildren();
    for (const line of lines) {
      const name = dayOf.format(new Date(line.querySelector("time").dateTime));
      if (name !== day) {
        day = name;
        const heading = document.createElement("h3");
        heading.className = "day";
        heading.textContent = day;
        list = document.createElement("ol");
        list.className = "events";
        box.append(heading, list);
      }
      list.append(line);
    }
  }

  for (const hint of all("[data-script]")) hint.hidden = false;

  // A code field keeps the digits of what is typed or pasted, and sends them once all are there.
  // The digits of a script stand in a row from zero on, so how many come before one is its value.
  const isDigit = (c) => /\p{Nd}/u.test(c);
  const value = (c) => {
    let before = 0;
    while (before < 64 && isDigit(String.fromCodePoint(c.codePointAt(0) - 1 - before))) before += 1;
    return String(before % 10);
  };
  for (const input of all("input[data-digits]")) {
    const wanted = Number(input.dataset.digits);
    let timer = 0;
    const settle = () => {
      clearTimeout(timer);
      const text = input.value;
      const digits = [...text].filter(isDigit).map(value).join("");
      // A long text with letters may be another kind of code, or a sentence: the server reads it.
      const long = /\p{L}/u.test(text) && text.length > 15;
      if (digits !== text && (digits.length === wanted || !long)) input.value = digits;
      if (!("send" in input.dataset) || input.value.length !== wanted || digits.length !== wanted) return;
      // Whoever presses the button meanwhile is not overtaken.
      timer = setTimeout(() => { if (input.form.checkValidity()) input.form.requestSubmit(); }, 300);
    };
    input.addEventListener("input", (event) => { if (!event.isComposing) settle(); });
    input.addEventListener("compositionend", settle);
    input.form.addEventListener("submit", () => clearTimeout(timer));
  }

  // The part of an address behind "#" never reaches the server. The browser carries it over redirects,
  // and here it goes on into the forms and links of the sign-in, so that it comes back to the app.
  const fragment = location.hash;
  if (fragment && location.pathname.startsWith("/_auth/")) {
    const along = (address) => {
      const url = new URL(address, location.href);
      if (url.origin !== location.origin || url.hash) return address;
      url.hash = fragment;
      return url.href;
    };
    for (const form of all("form[data-back]")) form.setAttribute("action", along(form.getAttribute("action")));
    for (const link of all("a[data-back], .links a")) link.setAttribute("href", along(link.getAttribute("href")));
  }

  // A page that answered a form becomes an ordinary one in the history, so that neither Back nor
  // Reload asks whether to send the form again.
  for (const form of all("form[method=post]")) {
    const action = new URL(form.getAttribute("action"), location.href);
    if (action.origin === location.origin && action.pathname === location.pathname) {
      history.replaceState(null, "", location.href);
    }
  }

  // A form is sent once, however often the button is pressed; but for good only when an answer comes.
  // After Stop, or where nothing came for a while, it may be sent again: the server bears copies.
  const sent = new Set();
  const letGo = () => sent.clear();
  for (const form of all("form")) {
    form.addEventListener("submit", (event) => {
      if (sent.has(form)) {
        event.preventDefault();
        return;
      }
      sent.add(form);
      setTimeout(letGo, 5000);
    });
  }
  window.addEventListener("keydown", (event) => { if (event.key === "Escape") letGo(); });
  if (window.navigation) navigation.addEventListener("navigateerror", letGo);
  window.addEventListener("pageshow", (event) => {
    letGo();
    // A page out of the browser's memory may be out of date.
    if (event.persisted && location.pathname.startsWith("/_auth/")) location.reload();
  });
})();
